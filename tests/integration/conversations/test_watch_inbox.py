"""The inbox, live: nothing missed, nothing twice, nothing of others (R13, R30, I8, P6, P9)."""

import asyncio
from datetime import timedelta

import grpc
import pytest

from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.chassis.clock import system_clock
from services.chassis.identity import Caller, Role
from services.conversations.domain.watching import (
    CloseCause,
    Closing,
    MessageChanged,
    Position,
    Resync,
)
from services.conversations.storage.tail import Tail
from services.conversations.usecases.watch_inbox import WatchInbox, watch_inbox
from services.messaging_rule import Side
from tests.support.eventually import eventually
from tests.support.grpc_world import failure, reason


@pytest.fixture
async def thread(world):
    doctor, patient = await world.staff(), await world.profile()
    conversation = await doctor.start(patient)
    await doctor.send(conversation.conversation_id, "before the watch")
    await world.settle()
    return doctor, patient, conversation.conversation_id


async def test_both_sides_see_a_message_and_the_recipient_the_badge(thread):
    doctor, patient, id = thread
    async with patient.watch() as of_patient, doctor.watch() as of_doctor:
        await doctor.send(id, "live")

        unread = (await of_patient.next("unread_changed")).unread_changed
        message = (await of_patient.next("message_sent")).message_sent
        echo = (await of_doctor.next("message_sent")).message_sent

    assert (unread.unread_count, unread.unread_messages) == (2, 2)
    assert message.body == echo.body == "live"


async def test_a_receipt_and_a_delete_are_told(thread):
    doctor, patient, id = thread
    async with doctor.watch() as watch:
        await patient.mark(id, 1)
        receipt = (await watch.next("conversation_read")).conversation_read
        await doctor.delete(id, 1)
        tombstone = (await watch.next("message_deleted")).message_deleted

    assert receipt.up_to_sequence == 1
    assert (tombstone.sequence, tombstone.body) == (1, "")


async def test_a_client_that_returns_misses_nothing_and_sees_nothing_twice(thread):
    doctor, patient, id = thread
    async with patient.watch() as watch:
        await doctor.send(id, "seen")
        token = (await watch.next("message_sent")).resume_token
    await doctor.send(id, "missed 1")
    await doctor.send(id, "missed 2")

    async with patient.watch(token) as watch:
        await doctor.send(id, "live again")
        bodies = [(await watch.next("message_sent")).message_sent.body for _ in range(3)]

    assert bodies == ["missed 1", "missed 2", "live again"]


async def test_a_token_of_another_person_is_refused(thread):
    doctor, patient, _ = thread
    async with doctor.watch() as watch:
        token = watch.first.resume_token

    call = patient._stub().WatchInbox(
        pb.WatchInboxRequest(resume_token=token), metadata=patient.metadata
    )

    assert (await failure(call.read())).code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stranger_is_told_nothing(world, thread):
    doctor, _, id = thread
    stranger = await world.profile()
    own = await doctor.start(stranger)
    async with stranger.watch() as watch:
        await doctor.send(id, "not for the stranger")
        await doctor.send(own.conversation_id, "for the stranger")

        assert (await watch.next("message_sent")).message_sent.body == "for the stranger"


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("merge", pb.WatchInboxResponse.CLOSE_CAUSE_PROFILE_MERGED),
        ("sign_out", pb.WatchInboxResponse.CLOSE_CAUSE_SESSION_ENDED),
    ],
)
async def test_a_watch_is_closed_with_its_cause(world, thread, end, cause):
    _, patient, _ = thread
    async with patient.watch() as watch:
        if end == "merge":
            await world.merge(patient, await world.profile())
        else:
            await world.end_session(patient)

        closing = await asyncio.wait_for(watch.next("closing"), 2)

        assert closing.closing.cause == cause
        assert await watch.call.read() is grpc.aio.EOF


async def test_a_sixth_watch_is_refused(thread):
    doctor, _, _ = thread
    calls = [
        doctor._stub().WatchInbox(pb.WatchInboxRequest(), metadata=doctor.metadata)
        for _ in range(5)
    ]
    for call in calls:
        await call.read()

    sixth = doctor._stub().WatchInbox(pb.WatchInboxRequest(), metadata=doctor.metadata)

    assert reason(await failure(sixth.read())) == "OVERLOADED"
    for call in calls:
        call.cancel()


async def test_a_watch_that_is_ended_passes_over_nothing_that_still_waited(world, thread):
    doctor, patient, id = thread
    updates = watch(world, patient)
    await anext(updates)
    await doctor.send(id, "waits 1")
    await doctor.send(id, "waits 2")
    await world.settle()
    world.tail.stop()
    told = [update async for update in updates]

    again = watch(world, patient, since=told[-1].position)
    bodies = [await next_body(again) for _ in range(2)]
    await again.aclose()

    assert told[-1].news == Closing(CloseCause.SERVER_STOPPING)
    assert bodies == ["waits 1", "waits 2"]


async def test_a_session_that_ends_before_an_event_was_told_leaves_it_to_the_next(world, thread):
    doctor, patient, id = thread
    updates = watch(world, patient)
    await anext(updates)
    await doctor.send(id, "not told in time")
    await world.settle()
    await world.end_session(patient)
    told = [update async for update in updates]

    returned = await world.sign_in(patient.side, patient.id, patient.clinic_id)
    again = watch(world, returned, since=told[-1].position)
    body = await next_body(again)
    await again.aclose()

    assert told[-1].news == Closing(CloseCause.SESSION_ENDED)
    assert body == "not told in time"


async def test_a_position_of_another_life_of_the_database_hides_nothing_that_follows(world, thread):
    doctor, patient, id = thread
    updates = watch(world, patient, since=Position("of a lost database", 1_000_000))
    first = await anext(updates)

    await doctor.send(id, "after the resync")
    body = await next_body(updates)
    await updates.aclose()

    assert first.news == Resync()
    assert body == "after the resync"


class _HeldUp(Tail):
    """One whose next question for the end is held up."""

    held: asyncio.Event | None = None

    async def end(self):
        held, self.held = self.held, None
        if held is not None:
            await held.wait()
        return await super().end()


async def test_who_opens_at_the_same_time_passes_over_nothing_of_another(world, thread):
    doctor, patient, id = thread
    tail = _HeldUp(world.worker)
    following = asyncio.create_task(tail.run())
    await eventually(lambda: _is_true(tail.at.incarnation))
    tail.held = held = asyncio.Event()
    late = asyncio.create_task(tail.open(caller_of(doctor)))
    await eventually(lambda: _is_true(tail.held is None))
    first = await tail.open(caller_of(patient))
    await doctor.send(id, "between the two")
    await world.settle()
    held.set()
    await late

    await eventually(lambda: _is_true(first.waiting))
    following.cancel()


async def _is_true(value):
    return bool(value)


def caller_of(person):
    return Caller(
        role=Role.STAFF if person.side is Side.STAFF else Role.PATIENT,
        name=str(person.id),
        clinic_id=person.clinic_id,
        expires_at=system_clock() + timedelta(minutes=5),
        person_id=person.id,
        session_id=person.session_id,
    )


def watch(world, person, *, since=None):
    """The watch itself, of which the test takes an update when it wants one."""
    command = WatchInbox(caller=caller_of(person), since=since)
    return watch_inbox(command, views=world.storage.views, tail=world.tail, clock=system_clock)


async def next_body(updates):
    async with asyncio.timeout(5):
        async for update in updates:
            if isinstance(update.news, MessageChanged):
                return update.news.message.body
    raise AssertionError("ended before a message")
