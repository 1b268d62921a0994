"""What may be forgotten, and never before it was published."""

from datetime import timedelta
from uuid import uuid4

import pytest

from services.chassis import retention
from services.chassis.outbox import Sequencer
from tests.support.events import facts_of, write

_WEEK = timedelta(days=7)
_POSITIONS = "select coalesce(array_agg(position order by position), '{}') from outbox"


@pytest.fixture
async def five_published(app, worker, look):
    await write(app, *facts_of(uuid4(), 5, clinic_id=uuid4()))
    await Sequencer(worker, positioned=lambda: None).number()
    look("update outbox_head set published_position = 5 returning 1")


@pytest.fixture
def later(look):
    """So much time goes by for the marks of what was published."""

    def later(**time):
        look("update outbox_marks set marked_at = marked_at - %s returning 1", timedelta(**time))

    return later


@pytest.fixture
def kept(look):
    return lambda: look(_POSITIONS)[0][0]


async def test_events_are_kept_for_a_week_after_they_were_published(
    worker, five_published, later, kept
):
    await retention.clean(worker, events_after=_WEEK)
    later(days=6, hours=23)
    await retention.clean(worker, events_after=_WEEK)
    assert kept() == [1, 2, 3, 4, 5]

    later(hours=2)
    await retention.clean(worker, events_after=_WEEK)

    assert kept() == []


async def test_what_was_published_later_is_kept_longer(worker, five_published, later, look, kept):
    look("update outbox_head set published_position = 3 returning 1")
    await retention.clean(worker, events_after=_WEEK)
    later(days=8)
    look("update outbox_head set published_position = 5 returning 1")

    await retention.clean(worker, events_after=_WEEK)

    assert kept() == [4, 5]


async def test_what_was_written_long_ago_and_not_published_is_kept(
    app, worker, five_published, later, look, kept
):
    look("update outbox_head set published_position = 2 returning 1")
    look("update outbox set created_at = created_at - interval '1 year' returning 1")
    await write(app, *facts_of(uuid4(), 1, clinic_id=uuid4()))
    await retention.clean(worker, events_after=_WEEK)
    later(days=30)

    for _ in range(2):
        await retention.clean(worker, events_after=_WEEK)

    assert look("select position from outbox order by id") == [(3,), (4,), (5,), (None,)]


async def test_more_than_a_pass_takes_is_told(worker, five_published, later, kept, monkeypatch):
    monkeypatch.setattr(retention, "_MOST", 2)
    await retention.clean(worker, events_after=_WEEK)
    later(days=8)

    more = [await retention.clean(worker, events_after=_WEEK) for _ in range(3)]

    assert more == [True, True, False]
    assert kept() == []


async def test_marks_are_forgotten_too(worker, five_published, later, look):
    await retention.clean(worker, events_after=_WEEK)
    later(days=15)

    await retention.clean(worker, events_after=_WEEK)

    assert look("select count(*) from outbox_marks") == [(1,)]


@pytest.mark.parametrize(
    ("table", "column", "days"), [("inbox", "claimed_at", 14), ("requests", "created_at", 7)]
)
async def test_claims_and_requests_are_kept_for_their_time(worker, look, table, column, days):
    columns = {
        "inbox": "(clinic_id, consumer, event_id, claimed_at)"
        " values (gen_random_uuid(), 'test', gen_random_uuid(), now() - %s)",
        "requests": "(clinic_id, actor, request_id, method, fingerprint, result_id, created_at)"
        " values (gen_random_uuid(), 'a', gen_random_uuid(), 'M', '', gen_random_uuid(),"
        " now() - %s)",
    }[table]
    for age in (timedelta(days=days, minutes=-5), timedelta(days=days, minutes=5)):
        look(f"insert into {table} {columns} returning 1", age)

    await retention.clean(worker, events_after=_WEEK)

    assert look(f"select count(*), min({column}) > now() - %s from {table}", timedelta(days)) == [
        (1, True)
    ]
