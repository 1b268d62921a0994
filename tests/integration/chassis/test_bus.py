"""Events on a real NATS, with the rights of a service: down, full, gone and drifted (P3)."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import nats
import pytest

from services.chassis.bus import Bus, Drifted
from services.chassis.errors import Unavailable
from services.chassis.outbox import Sequencer
from services.chassis.relay import Relay
from tests.support.background import running
from tests.support.events import a_fact, facts_of, write
from tests.support.eventually import eventually

SOURCE = "conversations"


@pytest.fixture
async def bus(broker, operator):
    bus = Bus(broker.url(SOURCE), service=SOURCE)
    async with running(_for_ever(bus.run)):
        await eventually(lambda: _has_stream(operator))
        yield bus
    await bus.close()


async def _for_ever(run):
    while True:
        try:
            await run()
        except Unavailable:
            await asyncio.sleep(0.05)


async def _has_stream(operator):
    return [s.config.name for s in await operator.streams_info()] == [SOURCE.upper()]


async def _stored(operator):
    """The positions in the stream, in its order."""
    info = await operator.stream_info(SOURCE.upper())
    first = info.state.first_seq
    messages = [
        await operator.get_msg(SOURCE.upper(), number)
        for number in range(first, first + info.state.messages)
    ]
    return [int(message.headers["ce-position"]) for message in messages]


async def _positioned(worker):
    await Sequencer(worker, positioned=lambda: None).number()


def _relay(worker, publish):
    return Relay(worker, source=SOURCE, publish=publish)


async def _relay_all(relay):
    while await relay.relay():
        pass


async def test_a_message_says_what_its_event_says(operator, bus, worker, events):
    event = events[0]

    await bus.publish(event)

    message = await operator.get_msg(SOURCE.upper(), 1)
    assert message.subject == f"conversations.fact.thing_happened.{event.clinic_id}"
    assert message.headers["Nats-Msg-Id"] == message.headers["ce-id"] == str(event.event_id)
    assert message.headers["ce-time"] == event.occurred_at.isoformat()
    assert message.headers["traceparent"] == event.trace


async def test_a_repeat_of_an_event_is_stored_once(operator, bus, worker, events):
    event = events[0]

    await bus.publish(event)
    await bus.publish(event)

    assert await _stored(operator) == [1]


async def test_events_written_while_nats_is_down_all_arrive_after(broker, bus, app, worker):
    relay = _relay(worker, bus.publish_all)
    wake = relay.positioned.set
    sequencer = Sequencer(worker, positioned=wake, noticed=wake)
    thing, clinic = uuid4(), uuid4()
    facts = facts_of(thing, 30, clinic_id=clinic)
    async with running(sequencer.run(), relay.run()):
        for number, fact in enumerate(facts):
            if number == 10:
                await broker.kill()
            await write(app, fact)  # neither fails nor waits
            sequencer.committed.set()
        await broker.start()

        async def all_stored():
            client = await nats.connect(broker.url())
            try:
                return await _stored(client.jetstream()) == list(range(1, 31))
            finally:
                await client.close()

        await eventually(all_stored)


async def test_a_stream_that_is_gone_is_made_again(operator, bus, worker, events):
    await operator.delete_stream(SOURCE.upper())
    relay = _relay(worker, bus.publish_all)

    async def all_stored():
        await relay.relay()
        return sorted(await _stored(operator)) == [1, 2, 3, 4, 5]

    await eventually(all_stored)


async def test_a_full_stream_is_waited_for(operator, bus, worker, events, look):
    config = (await operator.stream_info(SOURCE.upper())).config
    await operator.update_stream(replace(config, max_msgs=2))
    relay = _relay(worker, bus.publish_all)
    await _relay_all(relay)
    assert len(await _stored(operator)) == 2
    assert look("select published_position < 5 from outbox_head") == [(True,)]

    await operator.update_stream(config)
    await _relay_all(relay)

    assert sorted(await _stored(operator)) == [1, 2, 3, 4, 5]
    assert look("select from dead_letters") == []


@pytest.mark.parametrize("bytes_below_the_limit", [-1, 0, 300])
async def test_an_event_too_large_becomes_a_dead_letter_and_is_passed_over(
    operator, bus, app, worker, look, bytes_below_the_limit
):
    limit = bus.client.max_payload
    await write(app, a_fact(payload=bytes(limit - bytes_below_the_limit)))
    await write(app, a_fact(payload=b"small"))
    await _positioned(worker)

    await _relay_all(_relay(worker, bus.publish_all))

    assert await _stored(operator) == [2]
    assert look("select consumer, position from dead_letters") == [("relay", 1)]
    assert bus.connected


async def test_the_largest_event_that_nats_takes_is_published(operator, bus, app, worker, look):
    await write(app, a_fact(payload=bytes(bus.client.max_payload - 1_000)))
    await _positioned(worker)

    await _relay_all(_relay(worker, bus.publish_all))

    assert await _stored(operator) == [1]
    assert look("select from dead_letters") == []


async def test_a_stream_that_is_not_as_ours_is_refused(broker, operator):
    await operator.add_stream(name="CONVERSATIONS", subjects=["conversations.>"], max_age=60)
    bus = Bus(broker.url(SOURCE), service=SOURCE)

    with pytest.raises(Drifted):
        await bus.run()

    assert (await operator.stream_info("CONVERSATIONS")).config.max_age == 60
    await bus.close()


async def test_a_connection_that_the_server_ended_for_good_is_made_anew(bus):
    ended = bus.client
    await ended._process_err("'Maximum Connections Exceeded'")

    async def another():
        return bus.connected and bus.client is not ended

    await eventually(another)
    assert ended.is_closed


async def test_other_copies_are_woken(broker, bus):
    woken = asyncio.Event()
    copy = Bus(broker.url(SOURCE), service=SOURCE)
    copy.on_wake(SOURCE, woken.set)
    async with running(_for_ever(copy.run)):

        async def heard():
            await bus.wake()
            return woken.is_set()

        await eventually(heard)
    await copy.close()


async def test_without_nats_a_publish_is_unavailable_and_a_wake_goes_nowhere(worker, events):
    bus = Bus("nats://127.0.0.1:9", service=SOURCE)

    await bus.wake()

    with pytest.raises(Unavailable):
        await bus.publish(events[0])
    await bus.close()
