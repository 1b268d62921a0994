"""Logs hold static events, ids and numbers, and nothing that a person wrote or is called."""

import io
import json
import logging
import sys
from contextvars import copy_context
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

import psycopg
import pytest
import sqlalchemy.exc

from services.chassis import logs
from services.chassis.errors import NotFound
from services.chassis.settings import Secret

CANARY = "CANARY Jane Doe jane@example.com"
ID = UUID("0190a6e2-9f3b-7c21-9c39-0a1b2c3d4e5f")


class Log:
    """What was written since the last look."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def last(self) -> dict[str, object]:
        record: dict[str, object] = json.loads(self.text.splitlines()[-1])
        return record


@pytest.fixture
def log():
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = root.handlers[:], root.level
    written = Log()
    logs.configure("tests", "info", "json", stream=written.stream)
    yield written
    logs.configure("tests", "info", "json")
    logging.captureWarnings(False)
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)


def test_an_event_is_logged_with_its_ids(log):
    logs.get_logger().info("message_sent", message_id=ID, sequence=7)

    assert {
        "service": "tests",
        "level": "info",
        "event": "message_sent",
    }.items() <= log.last.items()
    assert (log.last["message_id"], log.last["sequence"]) == (str(ID), 7)


def test_a_key_outside_the_list_is_dropped_and_its_name_kept(log):
    logs.get_logger().info("message_sent", body=CANARY, first_name="Jane", sequence=7)

    assert "Jane" not in log.text
    assert log.last["dropped_keys"] == ["body", "first_name"]
    assert log.last["sequence"] == 7


@pytest.mark.parametrize(
    "value",
    [CANARY, "two words", "jane@example.com", "x" * 201, b"bytes", {"a": 1}, object(), Secret("s")],
)
def test_a_value_that_may_be_a_text_is_hidden_under_an_allowed_key(log, value):
    logs.get_logger().info("message_sent", reason=value)

    assert log.last["reason"] == "<hidden>"


def test_values_inside_a_list_are_looked_at_too(log):
    logs.get_logger().info("message_sent", sequences=[1, CANARY, ID])

    assert log.last["sequences"] == [1, "<hidden>", str(ID)]


def test_enums_and_times_are_told(log):
    class State(StrEnum):
        HELD = "held"

    logs.get_logger().info("x", state=State.HELD, last=datetime(2026, 1, 2, tzinfo=UTC))

    assert (log.last["state"], log.last["last"]) == ("held", "2026-01-02T00:00:00+00:00")


def test_an_event_that_is_made_of_values_is_hidden(log):
    logs.get_logger().info(f"sent to {CANARY}")

    assert log.last["event"] == "<hidden>"


def test_an_exception_is_told_by_class_and_frames_without_its_text(log):
    def fail() -> None:
        raise ValueError(CANARY)

    try:
        try:
            fail()
        except ValueError as error:
            raise RuntimeError(f"again: {CANARY}") from error
    except RuntimeError:
        logs.get_logger().exception("rpc_failed")

    assert "CANARY" not in log.text
    outer, inner = log.last["exception"]
    assert (outer["error"], inner["error"]) == ("RuntimeError", "ValueError")
    assert inner["frames"][-1].startswith("tests/unit/chassis/test_logs.py:")
    assert inner["frames"][-1].endswith("fail")


def test_an_exception_behind_another_and_inside_a_group_is_told(log):
    def group() -> ExceptionGroup:
        try:
            raise KeyError(CANARY)
        except KeyError:
            return ExceptionGroup(CANARY, [ValueError(CANARY), NotFound(CANARY)])

    logs.get_logger().error("rpc_failed", exc_info=group())

    assert "CANARY" not in log.text
    assert [each["error"] for each in log.last["exception"]] == [
        "ExceptionGroup",
        "ValueError",
        "services.chassis.errors.NotFound",
    ]
    assert log.last["exception"][2]["reason"] == "NOT_FOUND"


def test_a_database_error_is_told_by_sqlstate(log):
    error = sqlalchemy.exc.IntegrityError(
        f"INSERT {CANARY}", {"name": CANARY}, psycopg.errors.UniqueViolation(CANARY)
    )
    error.__cause__ = error.orig

    logs.get_logger().error("write_failed", exc_info=error)

    assert "CANARY" not in log.text
    assert log.last["exception"][1]["sqlstate"] == "23505"


def test_an_exception_as_a_value_is_told_by_its_class(log):
    logs.get_logger().info("refused", error=ValueError(CANARY))

    assert log.last["error"] == "ValueError"


def test_libraries_are_heard_without_their_words(log):
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("grpc._cython").exception("Unexpected %s", CANARY)

    assert "CANARY" not in log.text
    assert log.last["event"] == "library_log"
    assert log.last["logger"] == "grpc._cython"
    assert log.last["exception"][0]["error"] == "ValueError"


def test_a_crash_is_told_without_values(log):
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)

    assert "CANARY" not in log.text
    assert (log.last["event"], log.last["level"]) == ("process_crashed", "critical")


def test_bound_values_are_on_every_line_and_pass_the_same_list(log):
    def work() -> None:
        logs.bind(request_id="r1", name=CANARY)
        logs.get_logger().info("one")

    copy_context().run(work)

    assert log.last["request_id"] == "r1"
    assert log.last["dropped_keys"] == ["name"]


def test_below_the_level_nothing_is_written(log):
    logs.get_logger().debug("noise")

    assert log.text == ""


def test_the_console_shows_no_more(log):
    logs.configure("tests", "info", "console", stream=log.stream)
    try:
        raise ValueError(CANARY)
    except ValueError:
        logs.get_logger().exception("failed", body=CANARY, sequence=7)

    assert "CANARY" not in log.text
    assert "failed" in log.text
    assert "sequence=7" in log.text


def test_a_reader_that_has_gone_does_not_fail_the_work(log):
    log.stream.close()

    logs.get_logger().info("message_sent")
