"""The inbox, live: nothing missed, nothing twice, nothing of others (R13, R30, I8, P6, P9)."""

import asyncio

import grpc
import pytest

from clinic.conversations.v1 import conversations_service_pb2 as pb
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
