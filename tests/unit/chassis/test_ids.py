"""Ids sort by time, and have one spelling."""

import time
from uuid import UUID

import pytest

from services.chassis.errors import InvalidArgument
from services.chassis.ids import parse_id, uuid7


def test_an_id_is_a_uuid_of_version_7():
    id = uuid7()

    assert (id.version, id.variant) == (7, UUID(int=0x8 << 60).variant)


def test_ids_of_later_milliseconds_sort_behind(monkeypatch):
    ids = []
    for millisecond in (1, 2, 2**40, 2**47):
        monkeypatch.setattr(time, "time_ns", lambda now=millisecond: now * 1_000_000)
        ids.append(uuid7())

    assert ids == sorted(ids)
    assert [str(id) for id in ids] == sorted(map(str, ids))
    assert [id.int >> 80 for id in ids] == [1, 2, 2**40, 2**47]


def test_ids_of_one_millisecond_differ(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000)

    assert len({uuid7() for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize("spelling", [str, lambda id: str(id).upper()])
def test_the_36_characters_are_read(spelling):
    id = uuid7()

    assert parse_id(spelling(id), field="thing_id") == id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "thing",
        "0" * 32,
        "{00000000-0000-7000-8000-000000000000}",
        "urn:uuid:00000000-0000-7000-8000-000000000000",
        " 00000000-0000-7000-8000-000000000000",
        "00000000-0000-7000-8000-00000000000",
        "0000000-00000-7000-8000-000000000000",
        "\uff10" * 8 + "-0000-7000-8000-000000000000",
        "00000000-0000-7000-8000-000000000000\n",
    ],
)
def test_any_other_spelling_is_refused_with_the_field_s_name(text):
    with pytest.raises(InvalidArgument) as refused:
        parse_id(text, field="thing_id")

    assert refused.value.field == "thing_id"
