"""The fast road: events reach their handler by NATS, each with one effect (P3, P20)."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import nats
import nats.errors
import pytest

from services.chassis import bus as bus_module
from services.chassis import inbox, outbox
from services.chassis.bus import Bus, PullConsumer
from services.chassis.errors import ResourceExhausted, Unavailable
from services.chassis.inbox import Intake, Malformed, NotAllHandled, take_from_bus
from services.chassis.outbox import Event, Sequencer
from services.chassis.relay import Relay
from services.chassis.sweep import Sweep, start_at_oldest
from tests.support.background import running
from tests.support.effects import CONSUMER
from tests.support.events import a_fact, write
from tests.support.eventually import eventually

SOURCE, READER = "conversations", "notifications"
DURABLE = f"{READER}-{SOURCE}"
_EFFECTS = "select object_id::uuid from audit where action = 'effect'"


async def _for_ever(run):
    while True:
        try:
            await run()
        except Unavailable:
            await asyncio.sleep(0.05)


@pytest.fixture
async def buses(broker, operator):
    """That of the publisher and that of the reader, each with its own rights."""
    ours, theirs = (Bus(broker.url(name), service=name) for name in (SOURCE, READER))
    async with running(_for_ever(ours.run), _for_ever(theirs.run)):

        async def streams_are_there():
            return len(await operator.streams_info()) == 2

        await eventually(streams_are_there)
        yield ours, theirs
    await ours.close()
    await theirs.close()


@pytest.fixture
def intake(app, worker, effects):
    return Intake(consumer=CONSUMER, app=app, worker=worker, handle=effects)


@pytest.fixture
def impatient(monkeypatch):
    """Few tries, and little time between them."""
    monkeypatch.setattr(inbox, "MOST_TRIES", 3)
    monkeypatch.setattr(inbox, "MOST_DELAY_SECONDS", 0.02)
    monkeypatch.setattr(bus_module, "ACK_WAIT_SECONDS", 1)


@pytest.fixture
def had_effect(look, effects):
    """Waits until exactly these events have had their effect, each once."""

    async def wait(events, *, within=10.0):
        wanted = sorted(event.event_id for event in events)

        async def probe():
            found = sorted(id for (id,) in look(_EFFECTS))
            assert len(found) == len(set(found)), "a second effect"
            return found == wanted

        await eventually(probe, within=within)

    return wait


def _event(position=1, **details):
    given = {
        "event_id": uuid4(),
        "clinic_id": uuid4(),
        "source": SOURCE,
        "kind": "fact",
        "type": "thing_happened",
        "aggregate_id": uuid4(),
        "position": position,
        "incarnation": "i1",
        "occurred_at": datetime.now(UTC),
        "trace": "",
        "payload": b"bytes",
    }
    return Event(**given | details)


def _taking(bus, intake):
    return take_from_bus(PullConsumer(bus, source=SOURCE, durable=DURABLE), intake)


async def _publish(bus, events):
    await asyncio.gather(*(bus.publish(event) for event in events))


async def _nothing_is_left(operator):
    try:
        info = await operator.consumer_info(SOURCE.upper(), DURABLE)
    except nats.errors.Error:
        return False
    return (info.num_pending, info.num_ack_pending) == (0, 0)


async def test_each_event_has_one_effect(buses, intake, had_effect, operator):
    ours, theirs = buses
    events = [_event(position) for position in range(1, 251)]
    async with running(_taking(theirs, intake)):
        await _publish(ours, events)

        await had_effect(events)
        await eventually(lambda: _nothing_is_left(operator))


async def test_an_event_arrives_as_it_was_sent(buses, app, worker):
    ours, theirs = buses
    sent, arrived = _event(7, kind="state", payload=b""), []

    async def note(events):
        arrived.extend(events)

    intake = Intake(consumer=CONSUMER, app=app, worker=worker, handle=note)
    async with running(_taking(theirs, intake)):
        await ours.publish(sent)

        async def is_there():
            return arrived == [sent]

        await eventually(is_there)


async def test_what_was_published_before_the_first_consumer_is_delivered(buses, intake, had_effect):
    ours, theirs = buses
    events = [_event(position) for position in range(1, 4)]
    await _publish(ours, events)

    async with running(_taking(theirs, intake)):
        await had_effect(events)


async def test_two_copies_share_the_events(buses, intake, had_effect, effects):
    ours, theirs = buses
    events = [_event(position) for position in range(1, 51)]
    async with running(_taking(theirs, intake), _taking(theirs, intake)):
        await _publish(ours, events)

        await had_effect(events)
    assert sorted(effects.seen) == sorted(event.event_id for event in events)


async def test_what_a_killed_nats_delivers_again_has_no_second_effect(
    broker, buses, app, worker, intake, effects, had_effect, impatient, operator
):
    ours, theirs = buses
    events = [_event(position) for position in range(1, 21)]
    killed = asyncio.Event()

    async def handle_and_die(batch):
        await effects(batch)
        await broker.kill()
        killed.set()
        await asyncio.Event().wait()  # the effects are committed, and nothing will be acked

    dying = Intake(consumer=CONSUMER, app=app, worker=worker, handle=handle_and_die)
    await _publish(ours, events)
    async with running(_taking(theirs, dying)):
        await killed.wait()
    await broker.start()

    async with running(_taking(theirs, intake)):
        await eventually(lambda: _nothing_is_left(operator))

        await had_effect(events)
    assert len(effects.seen) > len(events)  # some did come again


async def test_an_event_that_breaks_its_contract_is_set_aside_at_once(
    buses, intake, effects, had_effect, look, operator
):
    ours, theirs = buses
    events = [_event(position) for position in range(1, 11)]
    poison, others = events[4], events[:4] + events[5:]
    effects.fails = lambda event: Malformed("thing") if event == poison else None
    async with running(_taking(theirs, intake)):
        await _publish(ours, events)

        await had_effect(others)
        await eventually(lambda: _nothing_is_left(operator))
    assert look("select consumer, source, event_id, error_class, attempts from dead_letters") == [
        (CONSUMER, SOURCE, poison.event_id, "Malformed", 1)
    ]
    assert look("select kind, type, aggregate_id, position, payload from dead_letters") == [
        ("fact", "thing_happened", poison.aggregate_id, 5, b"bytes")
    ]


async def test_an_event_that_always_fails_is_set_aside_in_the_end_and_holds_up_nothing(
    buses, intake, effects, had_effect, look, impatient, operator
):
    ours, theirs = buses
    events = [_event(position) for position in range(1, 11)]
    poison, others = events[0], events[1:]
    effects.fails = lambda event: RuntimeError("always") if event == poison else None
    async with running(_taking(theirs, intake)):
        await _publish(ours, events)

        await had_effect(others)
        await eventually(lambda: _nothing_is_left(operator))
    assert look("select event_id, error_class, attempts from dead_letters") == [
        (poison.event_id, "RuntimeError", 3)
    ]


async def test_an_event_that_fails_for_a_while_is_tried_again(
    buses, intake, effects, had_effect, look, impatient
):
    ours, theirs = buses
    event, failures = _event(), [RuntimeError("once"), RuntimeError("twice")]
    effects.fails = lambda _: failures.pop() if failures else None
    async with running(_taking(theirs, intake)):
        await ours.publish(event)

        await had_effect([event])
    assert look("select from dead_letters") == []


@pytest.mark.parametrize("error", [Unavailable("out of reach"), ResourceExhausted("all in use")])
async def test_a_batch_that_waits_for_what_is_out_of_reach_is_told_of_once(
    app, worker, capfd, error
):
    tried = []

    async def unreachable(events):
        tried.append(len(events))
        raise error

    intake = Intake(consumer=CONSUMER, app=app, worker=worker, handle=unreachable)
    events = [_event(position) for position in range(1, 11)]

    failures = await intake.take(events)

    assert tried == [10]
    assert failures.keys() == {event.event_id for event in events}
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "events_wait" in line]
    assert '"count":10' in line


async def test_what_a_handler_could_not_handle_of_a_batch_is_not_tried_one_by_one(app, worker):
    tried = []

    async def handle(events):
        tried.append(len(events))
        reasons = (Unavailable("out of reach"), Malformed("thing"))
        raise NotAllHandled(
            {event.event_id: why for event, why in zip(events, reasons, strict=False)}
        )

    intake = Intake(consumer=CONSUMER, app=app, worker=worker, handle=handle)
    events = [_event(position) for position in range(1, 11)]

    failures = await intake.take(events)

    assert tried == [10]
    assert {id: type(error) for id, error in failures.items()} == {
        events[0].event_id: Unavailable,
        events[1].event_id: Malformed,
    }


async def test_the_delays_grow_to_a_minute():
    delays = [inbox.delay_after(attempts) for attempts in range(1, 10)]

    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_what_is_no_event_is_left_out_and_holds_up_nothing(
    buses, intake, had_effect, operator
):
    ours, theirs = buses
    event = _event()
    await operator.publish("conversations.fact.thing.x", b"garbage")
    await operator.publish("conversations.fact.thing.x", b"", headers={"ce-id": "no uuid"})
    async with running(_taking(theirs, intake)):
        await ours.publish(event)

        await had_effect([event])
        await eventually(lambda: _nothing_is_left(operator))


async def test_a_consumer_that_is_deleted_is_made_again(buses, intake, had_effect, operator):
    ours, theirs = buses
    first, second = _event(1), _event(2)
    async with running(_taking(theirs, intake)):
        await ours.publish(first)
        await had_effect([first])

        await operator.delete_consumer(SOURCE.upper(), DURABLE)
        await ours.publish(second)

        await had_effect([first, second])


async def test_a_store_that_is_lost_is_made_again_and_the_sweep_brings_what_is_missing(
    broker, buses, app, worker, intake, effects, had_effect
):
    ours, theirs = buses
    relay = Relay(worker, source=SOURCE, publish=ours.publish_all)
    wake = relay.positioned.set
    sequencer = Sequencer(worker, positioned=wake, noticed=wake)

    async def list_events(incarnation, after, most):
        return await worker.connect(lambda c: outbox.read(c, SOURCE, after=after, most=most))

    async def written(count, total):
        await write(app, *(a_fact() for _ in range(count)))
        sequencer.committed.set()

        async def all_published():
            return (await worker.connect(outbox.read_bounds)).published == total

        await eventually(all_published)
        return await list_events("", 0, 100)

    sweep = Sweep(
        intake,
        worker,
        source=SOURCE,
        list_events=list_events,
        start_again=start_at_oldest,
        clock=lambda: datetime.now(UTC) + timedelta(minutes=1),
    )
    async with running(sequencer.run(), relay.run(), _taking(theirs, intake)):
        first = await written(2, total=2)
        await had_effect(first)

        # The next are published and delivered, but fail, and then NATS forgets them.
        async def tried():
            return {event.event_id for event in lost} <= set(effects.seen)

        effects.fails = lambda _: Unavailable("not now")
        lost = (await written(2, total=4))[2:]
        await eventually(tried)
        await broker.delete_store()
        await broker.start()
        effects.fails = lambda _: None
        everything = await written(1, total=5)

        await had_effect([*first, everything[-1]])
        await sweep.sweep()
        await had_effect(everything)


async def test_what_the_other_road_has_handled_is_not_set_aside(intake, effects, look):
    event = _event()
    await intake.take([event])

    await intake.set_aside(event, RuntimeError("of an earlier try"), 20)

    assert look("select from dead_letters") == []


async def test_what_is_set_aside_is_neither_handled_nor_set_aside_again(intake, effects, look):
    event = _event()
    await intake.set_aside(event, RuntimeError(), 20)
    await intake.set_aside(event, RuntimeError(), 20)

    assert await intake.take([event]) == {}
    assert await intake.unclaimed([event, other := _event()]) == [other]
    assert look(_EFFECTS) == []
    assert len(look("select from dead_letters")) == 1


async def test_one_event_s_failure_is_no_other_event_s(intake, effects, look):
    events = [_event(position) for position in range(1, 6)]
    effects.fails = lambda event: RuntimeError("poison") if event.position == 3 else None

    failures = await intake.take(events)

    assert list(failures) == [events[2].event_id]
    assert {id for (id,) in look(_EFFECTS)} == {e.event_id for e in events if e.position != 3}


async def test_a_claim_that_is_rolled_back_is_none(app, intake, effects, look):
    event, failures = _event(), [RuntimeError("after the claim")]

    async def claim_and_fail(connection, _):
        claimed = await inbox.claim(
            connection, consumer=CONSUMER, clinic_id=event.clinic_id, event_id=event.event_id
        )
        assert claimed
        raise failures[0]

    with pytest.raises(RuntimeError):
        await app.transact(claim_and_fail, clinics=[event.clinic_id])
    await intake.take([event])

    assert look(_EFFECTS) == [(event.event_id,)]
