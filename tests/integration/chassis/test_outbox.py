"""Positions: gapless for ever, in order within an aggregate, whoever commits when (P3)."""

import asyncio
import random
from datetime import timedelta
from itertools import groupby
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.chassis import outbox, retention
from services.chassis.errors import OutOfRange
from services.chassis.outbox import Event, Sequencer
from tests.support.background import running
from tests.support.events import OnTheSpot, a_fact, crash_at_each_wait, facts_of, write
from tests.support.eventually import eventually

_LOCK = text("select pg_advisory_xact_lock(hashtextextended(:aggregate, 0))")
_POSITIONS = "select position from outbox order by position"


class _Undecided(Exception):
    """A writer that rolls back."""


def _sequencer(worker):
    return Sequencer(worker, positioned=lambda: None)


@pytest.fixture
def positions(look):
    return lambda: [position for (position,) in look(_POSITIONS)]


@pytest.fixture
def in_order_of_each_aggregate(look):
    def check():
        rows = look("select aggregate_id, aggregate_version from outbox order by 1, position")
        for _, versions in groupby(rows, lambda row: row[0]):
            kept = [version for _, version in versions]
            assert kept == sorted(kept)
        return True

    return check


async def test_writers_that_commit_out_of_order_and_roll_back_leave_no_gap(
    app, worker, positions, look, in_order_of_each_aggregate
):
    chance, clinic = random.Random(7), uuid4()
    things = [uuid4() for _ in range(5)]
    versions = dict.fromkeys(things, 0)
    committed = 0
    followed: list[Event] = []

    async def write_some():
        nonlocal committed
        for _ in range(25):
            thing, pause, lost = chance.choice(things), chance.uniform(0, 0.004), chance.random()

            async def change(connection, _, thing=thing, pause=pause, lost=lost):
                await connection.execute(_LOCK, {"aggregate": str(thing)})
                version = versions[thing] = versions[thing] + 1
                fact = a_fact(clinic_id=clinic, aggregate_id=thing, aggregate_version=version)
                await outbox.add(connection, [fact])
                await asyncio.sleep(pause)  # so that the ids and the commits are out of step
                if lost < 0.2:
                    raise _Undecided

            try:
                await app.transact(change, clinics=[clinic])
                committed += 1
            except _Undecided:
                pass

    async def read_on(connection):
        after = followed[-1].position if followed else 0
        followed.extend(await outbox.read(connection, "test", after=after, most=20))

    async def for_ever(step):
        while True:
            await step()

    steps = [_sequencer(worker).number for _ in range(3)] + [lambda: worker.connect(read_on)]
    async with running(*map(for_ever, steps)):
        await asyncio.gather(*(write_some() for _ in range(6)))

        async def all_followed():
            return len(followed) >= committed

        await eventually(all_followed)

    assert positions() == list(range(1, committed + 1))
    # Who reads along sees each event once, and no position is given anew.
    rows = look("select event_id, position from outbox order by position")
    assert [(event.event_id, event.position) for event in followed] == rows
    assert in_order_of_each_aggregate()


async def test_a_writer_that_commits_late_is_positioned_later_and_nobody_waits(app, worker, look):
    first_wrote, go_on, late, early = asyncio.Event(), asyncio.Event(), a_fact(), a_fact()

    async def write_and_wait(connection, _):
        await outbox.add(connection, [late])
        first_wrote.set()
        await go_on.wait()

    slow = asyncio.create_task(app.transact(write_and_wait, clinics=[late.clinic_id]))
    await first_wrote.wait()
    await write(app, early)
    await _sequencer(worker).number()
    go_on.set()
    await slow
    await _sequencer(worker).number()

    assert look("select clinic_id from outbox order by position") == [
        (early.clinic_id,),
        (late.clinic_id,),
    ]
    assert look("select clinic_id from outbox order by id") == [
        (late.clinic_id,),
        (early.clinic_id,),
    ]


async def test_positions_go_on_after_retention_has_emptied_the_table(app, worker, positions, look):
    await write(app, *facts_of(uuid4(), 3, clinic_id=uuid4()))
    await _sequencer(worker).number()
    look("update outbox_head set published_position = last_position returning 1")
    await retention.clean(worker, events_after=timedelta(0))
    await retention.clean(worker, events_after=timedelta(0))
    assert positions() == []

    await write(app, a_fact(), a_fact())
    await _sequencer(worker).number()

    assert positions() == [4, 5]


async def test_retention_keeps_up_with_more_than_one_pass_can_forget(
    app, worker, positions, look, monkeypatch
):
    monkeypatch.setattr(retention, "_MOST", 2)
    await write(app, *facts_of(uuid4(), 5, clinic_id=uuid4()))
    await _sequencer(worker).number()
    look("update outbox_head set published_position = last_position returning 1")

    passes = 1
    while await retention.clean(worker, events_after=timedelta(0)):
        passes += 1

    assert (passes, positions()) == (3, [])


async def test_a_pass_that_is_cut_anywhere_numbers_all_or_nothing(
    app, databases, positions, in_order_of_each_aggregate
):
    on_the_spot = OnTheSpot(databases.worker, size=1, name="cut")
    clinic, thing = uuid4(), uuid4()
    await write(app, *facts_of(thing, 3, clinic_id=clinic))

    async def pass_after_a_crash():
        assert positions() in ([None] * 3, [1, 2, 3])
        await on_the_spot.close()
        await _sequencer(on_the_spot).number()

    cuts = await crash_at_each_wait(pass_after_a_crash)

    assert cuts > 5
    assert positions() == [1, 2, 3]
    assert in_order_of_each_aggregate()
    await on_the_spot.close()


async def test_more_events_than_a_pass_numbers_are_numbered_by_the_next(
    app, worker, positions, monkeypatch
):
    monkeypatch.setattr(outbox, "_PASS_ROWS", 2)
    await write(app, *facts_of(uuid4(), 5, clinic_id=uuid4()))
    sequencer = _sequencer(worker)

    assert [await sequencer.number() for _ in range(3)] == [True, True, False]
    assert positions() == [1, 2, 3, 4, 5]


async def test_a_sequencer_tells_its_readers_and_those_of_other_copies_notice(app, worker):
    told, noticed = [], []
    giving = Sequencer(worker, positioned=lambda: told.append(1))
    watching = Sequencer(worker, positioned=lambda: None, noticed=lambda: noticed.append(1))
    await watching.look()
    before = len(noticed)
    await write(app, a_fact())

    assert await watching.look()  # there is something to number
    await giving.number()
    assert not await watching.look()

    assert told == [1]
    assert len(noticed) == before + 1


async def test_a_commit_is_numbered_at_once_and_one_that_told_nobody_at_the_poll(
    app, worker, positions
):
    sequencer = _sequencer(worker)
    async with running(sequencer.run()):
        await write(app, a_fact())
        sequencer.committed.set()

        async def one():
            return positions() == [1]

        await eventually(one)
        await write(app, a_fact())

        async def two():
            return positions() == [1, 2]

        await eventually(two)


async def test_an_event_is_read_as_it_was_written(app, worker, look):
    fact = a_fact(payload=b"\x00bytes", kind="state", type="thing_state")
    await write(app, fact)
    await _sequencer(worker).number()

    (event,) = await worker.connect(lambda c: outbox.read(c, "conversations", after=0, most=10))

    assert (event.clinic_id, event.aggregate_id) == (fact.clinic_id, fact.aggregate_id)
    assert (event.kind, event.type, event.payload) == ("state", "thing_state", b"\x00bytes")
    assert (event.position, event.source) == (1, "conversations")
    assert event.subject == f"conversations.state.thing_state.{fact.clinic_id}"
    assert look("select incarnation::text, created_at from outbox_head, outbox") == [
        (event.incarnation, event.occurred_at)
    ]


async def test_an_event_without_a_position_is_not_read_yet(app, worker):
    await write(app, a_fact())

    read = await worker.connect(lambda c: outbox.read(c, "conversations", after=0, most=10))

    assert read == []


async def test_the_events_of_work_that_is_rolled_back_are_never_seen(app, worker, positions):
    fact = a_fact()

    async def write_and_refuse(connection, _):
        await outbox.add(connection, [fact])
        raise _Undecided

    with pytest.raises(_Undecided):
        await app.transact(write_and_refuse, clinics=[fact.clinic_id])
    await write(app, a_fact())
    await _sequencer(worker).number()

    assert positions() == [1]


@pytest.fixture
async def from_three_to_five(app, worker, look):
    """The incarnation of a table that has forgotten positions 1 and 2."""
    await write(app, *facts_of(uuid4(), 5, clinic_id=uuid4()))
    await _sequencer(worker).number()
    look("delete from outbox where position < 3 returning 1")
    ((incarnation,),) = look("select incarnation::text from outbox_head")
    return incarnation


@pytest.mark.parametrize("position", [2, 3, 5])
async def test_a_position_is_good_where_all_behind_it_is_held(worker, from_three_to_five, position):
    bounds = await worker.connect(lambda c: outbox.check_position(c, from_three_to_five, position))

    assert (bounds.oldest, bounds.last) == (3, 5)


@pytest.mark.parametrize("position", [-1, 0, 1, 6])
async def test_a_position_that_is_gone_or_to_come_is_refused_with_what_is_held(
    worker, from_three_to_five, position
):
    with pytest.raises(OutOfRange) as refused:
        await worker.connect(lambda c: outbox.check_position(c, from_three_to_five, position))

    assert refused.value.metadata == {
        "incarnation": from_three_to_five,
        "oldest_position": "3",
        "last_position": "5",
    }


async def test_a_position_of_another_incarnation_is_refused(worker, from_three_to_five):
    with pytest.raises(OutOfRange):
        await worker.connect(lambda c: outbox.check_position(c, str(uuid4()), 4))


async def test_an_empty_table_names_the_next_position_as_its_oldest(worker, look):
    look("update outbox_head set last_position = 9 returning 1")

    bounds = await worker.connect(outbox.read_bounds)
    with pytest.raises(OutOfRange) as refused:
        await worker.connect(lambda c: outbox.check_position(c, bounds.incarnation, 8))

    assert refused.value.metadata["oldest_position"] == "10"
