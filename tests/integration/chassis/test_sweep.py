"""The slow road: what the bus has lost is read from the publisher's outbox (P3)."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.chassis import outbox
from services.chassis import sweep as sweep_module
from services.chassis.errors import OutOfRange, Unavailable
from services.chassis.inbox import Intake, Malformed
from services.chassis.outbox import Sequencer
from services.chassis.sweep import Sweep, start_at_oldest
from tests.support.background import running
from tests.support.effects import CONSUMER
from tests.support.events import a_fact, facts_of, write
from tests.support.eventually import eventually

SOURCE = "conversations"
_CURSOR = "select position from sweeps"
_EFFECTS = "select object_id::uuid from audit where action = 'effect' order by id"


class Clock:
    """A minute ahead, so that what was just written has settled; a test may set it to now."""

    ahead = timedelta(minutes=1)

    def __call__(self):
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def list_events(worker):
    """The publisher's ListEvents, without the channel."""

    async def list_events(incarnation, after, most):
        async def work(connection):
            if incarnation:
                await outbox.check_position(connection, incarnation, after)
            return await outbox.read(connection, SOURCE, after=after, most=most)

        return await worker.connect(work)

    return list_events


@pytest.fixture
def a_sweep(app, worker, effects, list_events, clock):
    def make(*, list_events=list_events, start_again=start_at_oldest):
        return Sweep(
            Intake(consumer=CONSUMER, app=app, worker=worker, handle=effects),
            worker,
            source=SOURCE,
            list_events=list_events,
            start_again=start_again,
            clock=clock,
        )

    return make


@pytest.fixture
def five(app, worker):
    """Writes five events more, and gives them positions."""

    async def write_them():
        await write(app, *facts_of(uuid4(), 5, clinic_id=uuid4()))
        await Sequencer(worker, positioned=lambda: None).number()
        events = await worker.connect(lambda c: outbox.read(c, SOURCE, after=0, most=1000))
        return list(events)[-5:]

    return write_them


@pytest.fixture
def had_effect(look):
    return lambda: [id for (id,) in look(_EFFECTS)]


def _ids(events):
    return [event.event_id for event in events]


async def test_the_first_sweep_begins_at_the_oldest_event(a_sweep, five, had_effect, look):
    events = await five()

    assert not await a_sweep().sweep()

    assert had_effect() == _ids(events)
    assert look(_CURSOR) == [(5,)]


async def test_the_next_sweep_goes_on_from_there_also_after_a_restart(
    a_sweep, five, effects, had_effect
):
    first = await five()
    await a_sweep().sweep()
    second = await five()

    await a_sweep().sweep()

    assert had_effect() == _ids(first + second)
    assert effects.seen == _ids(first + second)


async def test_pages_follow_until_there_are_no_more(a_sweep, five, had_effect, monkeypatch):
    monkeypatch.setattr(sweep_module, "_PAGE", 2)
    events, sweep = await five(), a_sweep()

    assert [await sweep.sweep() for _ in range(3)] == [True, True, False]

    assert had_effect() == _ids(events)


async def test_what_is_younger_than_15_seconds_is_left_to_the_bus(
    a_sweep, five, had_effect, look, clock
):
    settled, young = await five(), await five()
    look("update outbox set created_at = now() - interval '16 s' where position <= 5 returning 1")
    look("update outbox set created_at = now() - interval '14 s' where position > 5 returning 1")
    clock.ahead = timedelta(0)

    await a_sweep().sweep()

    assert had_effect() == _ids(settled)
    assert look(_CURSOR) == [(5,)]
    clock.ahead = timedelta(seconds=2)
    await a_sweep().sweep()
    assert had_effect() == _ids(settled + young)


async def test_an_old_event_behind_a_young_one_waits_with_it(
    a_sweep, five, had_effect, look, clock
):
    events = await five()
    look("update outbox set created_at = now() - interval '1 min' where position <> 2 returning 1")
    clock.ahead = timedelta(0)

    await a_sweep().sweep()

    assert had_effect() == _ids(events[:1])
    assert look(_CURSOR) == [(1,)]


async def test_what_the_bus_has_brought_is_not_handled_again(a_sweep, five, effects, had_effect):
    events = await five()
    await effects(events[:3])
    effects.seen.clear()

    await a_sweep().sweep()

    assert effects.seen == _ids(events[3:])
    assert had_effect() == _ids(events)


async def test_what_the_bus_has_brought_without_a_gap_is_not_read_again(
    a_sweep, five, effects, had_effect, list_events, look
):
    asked = []

    async def listed(incarnation, after, most):
        asked.append(after)
        return await list_events(incarnation, after, most)

    sweep = a_sweep(list_events=listed)
    await five()
    await sweep.sweep()  # from here on the cursor names an incarnation
    events, before = await five(), had_effect()
    for at in (0, 1, 2, 4):  # the fourth was lost
        sweep._intake.taken.note(events[at])

    await sweep.sweep()

    assert asked == [0, 8]
    assert had_effect()[len(before) :] == _ids(events[3:])
    assert look(_CURSOR) == [(10,)]


async def test_a_failing_event_keeps_the_cursor_and_those_behind_it_are_handled(
    a_sweep, five, effects, had_effect, look
):
    events = await five()
    effects.fails = lambda event: RuntimeError() if event.position == 3 else None

    assert not await a_sweep().sweep()

    assert had_effect() == _ids(events[:2] + events[3:])
    assert look(_CURSOR) == [(2,)]
    effects.fails = lambda _: None
    await a_sweep().sweep()
    assert sorted(had_effect()) == sorted(_ids(events))
    assert look(_CURSOR) == [(5,)]
    assert look("select from sweep_tries") == []


async def test_after_20_tries_it_is_set_aside_and_the_cursor_moves(a_sweep, five, effects, look):
    events, sweep = await five(), a_sweep()
    effects.fails = lambda event: RuntimeError() if event.position == 3 else None
    for _ in range(19):
        await sweep.sweep()
    assert look("select from dead_letters") == []

    await sweep.sweep()

    assert look("select event_id, attempts, error_class from dead_letters") == [
        (events[2].event_id, 20, "RuntimeError")
    ]
    assert look(_CURSOR) == [(5,)]
    assert look("select from sweep_tries") == []


async def test_what_breaks_its_contract_is_set_aside_at_once(a_sweep, five, effects, look):
    events = await five()
    effects.fails = lambda event: Malformed() if event.position == 1 else None

    await a_sweep().sweep()

    assert look("select event_id, attempts from dead_letters") == [(events[0].event_id, 1)]
    assert look(_CURSOR) == [(5,)]


async def test_where_the_position_is_gone_a_consumer_of_facts_goes_on_at_the_oldest(
    a_sweep, five, had_effect, look
):
    await five()
    sweep = a_sweep()
    await sweep.sweep()
    missed = await five()
    look("delete from outbox where position <= 7 returning 1")

    while await sweep.sweep():
        pass

    assert had_effect()[5:] == _ids(missed[2:])
    assert look(_CURSOR) == [(10,)]


async def test_another_incarnation_starts_again_as_the_consumer_says(
    a_sweep, five, had_effect, look
):
    await five()
    await a_sweep().sweep()
    incarnation, told = uuid4(), []
    look("update outbox_head set incarnation = %s returning 1", incarnation)

    async def start_again(gone: OutOfRange):
        told.append(gone.metadata)
        return gone.metadata["incarnation"], int(gone.metadata["last_position"])

    sweep = a_sweep(start_again=start_again)
    assert await sweep.sweep()
    assert not await sweep.sweep()

    assert told == [{"incarnation": str(incarnation), "oldest_position": "1", "last_position": "5"}]
    assert look("select incarnation, position from sweeps") == [(str(incarnation), 5)]


async def test_a_start_again_that_fails_is_tried_again(a_sweep, five, look):
    await five()
    await a_sweep().sweep()
    look("update outbox_head set incarnation = gen_random_uuid() returning 1")

    async def out_of_reach(_):
        raise Unavailable("not now")

    with pytest.raises(Unavailable):
        await a_sweep(start_again=out_of_reach).sweep()
    while await a_sweep().sweep():
        pass

    assert look("select incarnation from sweeps") == look(
        "select incarnation::text from outbox_head"
    )


async def test_a_publisher_out_of_reach_only_delays(
    a_sweep, five, had_effect, list_events, monkeypatch
):
    monkeypatch.setattr(sweep_module, "PAUSE_SECONDS", 0.01)
    events, failures = await five(), [Unavailable("not now")] * 2

    async def sometimes(*arguments):
        if failures:
            raise failures.pop()
        return await list_events(*arguments)

    async def all_had_effect():
        return had_effect() == _ids(events)

    async with running(a_sweep(list_events=sometimes).run()):
        await eventually(all_had_effect)


async def test_two_copies_sweep_side_by_side(a_sweep, five, had_effect, app, look):
    events = await five()
    await write(app, a_fact())

    await asyncio.gather(*(a_sweep().sweep() for _ in range(3)))

    assert sorted(had_effect()) == sorted(_ids(events))
    assert look(_CURSOR) == [(5,)]
