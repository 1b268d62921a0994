from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.chassis import taken as taken_module
from services.chassis.outbox import Event
from services.chassis.taken import Taken

_EVENT = Event(
    event_id=UUID(int=1),
    clinic_id=UUID(int=2),
    source="directory",
    kind="state",
    type="profile_state",
    aggregate_id=UUID(int=3),
    position=1,
    incarnation="i1",
    occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    trace="",
    payload=b"",
)


@pytest.fixture
def taken():
    return Taken()


def note(taken, *positions, incarnation="i1"):
    for position in positions:
        taken.note(replace(_EVENT, position=position, incarnation=incarnation))


def test_it_joins_up_in_any_order_and_stops_at_a_gap(taken):
    note(taken, 5, 3, 4, 7)

    assert taken.through("i1", 2) == 5
    note(taken, 6)
    assert taken.through("i1", 5) == 7


def test_what_lies_before_says_nothing(taken):
    note(taken, 3, 4)

    assert taken.through("i1", 7) == 7
    assert taken.through("i1", 2) == 2


def test_positions_of_another_incarnation_are_others(taken):
    note(taken, 1, 2)
    assert taken.through("i2", 0) == 0

    note(taken, 1, incarnation="i2")
    assert taken.through("i2", 0) == 1
    assert taken.through("i1", 0) == 0


def test_it_holds_only_so_many(taken, monkeypatch):
    monkeypatch.setattr(taken_module, "_MOST", 3)
    note(taken, 1, 2, 3, 4)

    assert taken.through("i1", 0) == 0
    assert taken.through("i1", 3) == 4
