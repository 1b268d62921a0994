"""A message goes from a practitioner to a patient and back (R4 to R31)."""

import asyncio
from uuid import uuid4

import grpc

from clinic.conversations.v1 import conversations_service_pb2 as pb
from tests.support.grpc_world import failure, reason


async def test_a_message_goes_to_the_patient_and_an_answer_comes_back(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)

    sent = await doctor.send(thread.conversation_id, "How are you?\n\tÅsa 👩‍⚕️")
    answer = await patient.send(thread.conversation_id, "Well.")

    assert (sent.sequence, answer.sequence) == (1, 2)
    for reader in (doctor, patient):
        bodies = [message.body for message in await reader.messages(thread.conversation_id)]
        assert bodies == ["How are you?\n\tÅsa 👩‍⚕️", "Well."]


async def test_a_second_start_returns_the_same_thread(world):
    doctor, patient = await world.staff(), await world.profile()

    first = await doctor.start(patient)
    second = await doctor.start(patient)

    assert first.conversation_id == second.conversation_id


async def test_many_starts_at_once_give_one_thread(world):
    doctor, patient = await world.staff(), await world.profile()

    threads = await asyncio.gather(*(doctor.start(patient) for _ in range(10)))

    assert len({thread.conversation_id for thread in threads}) == 1


async def test_a_thread_without_a_message_is_invisible_to_the_patient(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)

    error = await failure(patient.get(thread.conversation_id))

    assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "CONVERSATION_NOT_FOUND")
    assert await patient.inbox() == []
    assert [c.conversation_id for c in await doctor.inbox()] == [thread.conversation_id]


async def test_a_repeat_of_a_send_returns_the_first_message(world):
    doctor, patient = await world.staff(), await world.profile()
    thread, request_id = await doctor.start(patient), uuid4()

    first = await doctor.send(thread.conversation_id, "once", request_id=request_id)
    second = await doctor.send(thread.conversation_id, "once", request_id=request_id)

    assert first == second
    assert len(await doctor.messages(thread.conversation_id)) == 1


async def test_the_same_request_id_with_another_text_is_refused(world):
    doctor, patient = await world.staff(), await world.profile()
    thread, request_id = await doctor.start(patient), uuid4()
    await doctor.send(thread.conversation_id, "one", request_id=request_id)

    error = await failure(doctor.send(thread.conversation_id, "two", request_id=request_id))

    assert error.code() == grpc.StatusCode.ALREADY_EXISTS
    assert reason(error) == "IDEMPOTENCY_MISMATCH"


async def test_a_repeat_after_deletion_returns_the_tombstone_and_sends_nothing(world):
    doctor, patient = await world.staff(), await world.profile()
    thread, request_id = await doctor.start(patient), uuid4()
    await doctor.send(thread.conversation_id, "gone", request_id=request_id)
    await doctor.delete(thread.conversation_id, 1)

    repeat = await doctor.send(thread.conversation_id, "gone", request_id=request_id)

    assert (repeat.sequence, repeat.body) == (1, "")
    assert repeat.HasField("delete_time")


async def test_unread_and_receipt_move_when_the_thread_is_opened(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    for _ in range(3):
        await doctor.send(thread.conversation_id)
    assert await patient.badge() == 3

    remaining = await patient.mark(thread.conversation_id, 2)

    assert (remaining, await patient.badge()) == (1, 1)
    seen = await doctor.messages(thread.conversation_id)
    assert [message.HasField("read_time") for message in seen] == [True, True, False]


async def test_reading_again_keeps_the_first_read_time(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    await doctor.send(thread.conversation_id)
    await patient.mark(thread.conversation_id, 1)
    first = (await doctor.messages(thread.conversation_id))[0].read_time

    await patient.mark(thread.conversation_id, 1)

    assert (await doctor.messages(thread.conversation_id))[0].read_time == first


async def test_reading_past_the_last_message_is_refused(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    await doctor.send(thread.conversation_id)

    error = await failure(patient.mark(thread.conversation_id, 2))

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "READ_BEYOND_LAST",
    )


async def test_deleting_an_unread_message_lowers_the_badge_and_leaves_a_tombstone(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    await doctor.send(thread.conversation_id, "first")
    await doctor.send(thread.conversation_id, "secret")

    tombstone = await doctor.delete(thread.conversation_id, 2)

    assert tombstone.body == "" and tombstone.HasField("delete_time")
    assert await patient.badge() == 1
    assert (await patient.inbox())[0].last_message.body == ""
    assert [m.body for m in await patient.messages(thread.conversation_id)] == ["first", ""]


async def test_a_second_delete_returns_the_same_tombstone(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    await doctor.send(thread.conversation_id)

    first = await doctor.delete(thread.conversation_id, 1)
    second = await doctor.delete(thread.conversation_id, 1)

    assert first == second
    assert await patient.badge() == 0


async def test_only_the_sender_may_delete(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    await doctor.send(thread.conversation_id)

    error = await failure(patient.delete(thread.conversation_id, 1))

    assert (error.code(), reason(error)) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_SENDER")


async def test_nobody_else_sees_the_thread(world):
    doctor, patient = await world.staff(), await world.profile()
    colleague, stranger = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    await doctor.send(thread.conversation_id)

    for other in (colleague, stranger):
        assert await other.inbox() == []
        for attempt in (
            other.get(thread.conversation_id),
            other.messages(thread.conversation_id),
            other.send(thread.conversation_id),
            other.mark(thread.conversation_id, 1),
            other.delete(thread.conversation_id, 1),
        ):
            error = await failure(attempt)
            assert error.code() == grpc.StatusCode.NOT_FOUND
            assert reason(error) == "CONVERSATION_NOT_FOUND"


async def test_a_patient_cannot_start(world):
    patient, doctor = await world.profile(), await world.staff()

    error = await failure(patient.start(doctor))

    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    assert reason(error) == "PATIENT_CANNOT_INITIATE"


async def test_staff_cannot_write_to_staff(world):
    doctor, colleague = await world.staff(), await world.staff()

    error = await failure(doctor.start(colleague))

    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error) == "RECIPIENT_IS_STAFF"


async def test_an_unknown_profile_is_not_found(world):
    doctor = await world.staff()

    error = await failure(doctor.start(uuid4()))

    assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "PROFILE_NOT_FOUND")


async def test_a_session_that_ended_is_refused_at_once(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)

    await world.end_session(doctor)

    for attempt in (doctor.send(thread.conversation_id), doctor.inbox()):
        error = await failure(attempt)
        assert (error.code(), reason(error)) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "SESSION_ENDED",
        )


async def test_the_inbox_pages_by_last_activity(world):
    doctor = await world.staff()
    threads = []
    for _ in range(5):
        thread = await doctor.start(await world.profile())
        await doctor.send(thread.conversation_id)
        threads.append(thread.conversation_id)

    seen, token = [], ""
    while True:
        page = await world.stub.ListConversations(
            pb.ListConversationsRequest(page_size=2, page_token=token), metadata=doctor.metadata
        )
        seen += [conversation.conversation_id for conversation in page.conversations]
        token = page.next_page_token
        if not token:
            break

    assert seen == threads[::-1]
