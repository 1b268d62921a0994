"""Trace context follows W3C; metrics are shown."""

import asyncio

import pytest

from services.chassis.telemetry import (
    continue_trace,
    counter,
    current_traceparent,
    exposition,
    parse_traceparent,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{TRACE}-b7ad6b7169203331-00"


def test_a_trace_is_continued_in_a_span_of_its_own():
    ours = continue_trace(GIVEN)

    version, trace, span, flags = ours.split("-")
    assert (version, trace, flags) == ("00", TRACE, "00")
    assert span != "b7ad6b7169203331"
    assert parse_traceparent(ours) == (TRACE, "00")


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"{GIVEN}\n",
        "Jane Doe",
    ],
)
def test_what_is_no_traceparent_begins_a_new_trace(given):
    ours = continue_trace(given)

    assert parse_traceparent(ours) is not None
    assert TRACE not in ours


async def test_the_span_belongs_to_its_task():
    async def traced(given: str) -> str:
        continue_trace(given)
        await asyncio.sleep(0)
        return current_traceparent()

    other = GIVEN.replace(TRACE, "f" * 32)
    ours, theirs = await asyncio.gather(traced(GIVEN), traced(other))

    assert TRACE in ours
    assert "f" * 32 in theirs


async def test_where_nothing_began_a_trace_one_begins():
    async def twice() -> tuple[str, str]:
        return current_traceparent(), current_traceparent()

    first, second = await asyncio.create_task(twice())

    assert parse_traceparent(first) is not None
    assert first == second


def test_metrics_of_other_modules_are_shown():
    counter("tests_seen", "Made by a test.", ("kind",)).labels("unit").inc(3)

    assert b'clinic_tests_seen_total{kind="unit"} 3.0' in exposition()
