""" "Why didn't they get it?" has an ordered answer, for who may ask."""

from uuid import UUID, uuid4

import grpc
import pytest
from sqlalchemy import text

from services.chassis.identity import Caller, Role
from services.conversations.usecases.explain_delivery import ExplainDelivery, explain_delivery
from tests.support.conversations_world import StatedWitnesses
from tests.support.grpc_world import failure, reason

_AUDITED = text("""
select actor, object_type, object_id from audit
where clinic_id = :clinic_id and action = 'explain_delivery' order by id
""")


@pytest.fixture
async def thread(world):
    doctor, patient = await world.staff(), await world.profile()
    conversation = await doctor.start(patient)
    return doctor, patient, conversation.conversation_id


async def test_a_thread_without_a_message_says_so(thread):
    doctor, _, id = thread

    assert await doctor.explain(conversation_id=id) == ["NO_MESSAGE"]


async def test_a_message_is_explained_from_thread_to_ledger_to_duplicates(world, thread):
    doctor, patient, id = thread
    await doctor.send(id)
    await patient.mark(id, 1)
    world.directory.duplicates[patient.id] = [uuid4()]

    assert await doctor.explain(conversation_id=id, sequence=1) == [
        "IN_CONVERSATION",
        "MESSAGE_READ",
        "NOTIFICATION",
        "LIKELY_DUPLICATE",
    ]


async def test_what_the_directory_says_comes_first(world, thread):
    doctor, patient, id = thread
    await doctor.send(id)
    await doctor.delete(id, 1)

    await world.merge(patient, await world.profile())

    assert await doctor.explain(conversation_id=id) == [
        "PROFILE_MERGED",
        "MESSAGE_DELETED",
        "NOTIFICATION",
    ]


async def test_that_notifications_cannot_be_asked_is_said(world, thread):
    doctor, _, id = thread
    await doctor.send(id)

    world.directory.reachable = False

    assert await doctor.explain(conversation_id=id) == [
        "IN_CONVERSATION",
        "NOTIFICATIONS_UNREACHABLE",
    ]


async def test_a_profile_can_be_asked_about_before_there_is_a_thread(world):
    doctor, patient = await world.staff(), await world.profile(do_not_email=True)

    assert await doctor.explain(profile_id=str(patient.id)) == ["RECIPIENT_DO_NOT_EMAIL"]


async def test_a_colleague_learns_nothing(world, thread):
    doctor, patient, id = thread
    await doctor.send(id)

    error = await failure((await world.staff()).explain(conversation_id=id))

    assert reason(error) == "CONVERSATION_NOT_FOUND"
    refused = await failure(patient.explain(conversation_id=id))
    assert refused.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_nothing_named_is_a_missing_field(thread):
    doctor, _, _ = thread

    assert reason(await failure(doctor.explain())) == "FIELD_REQUIRED"


async def test_what_support_asks_of_a_thread_and_of_a_profile_is_audited(world, thread):
    _, patient, id = thread
    ops = Caller(
        role=Role.OPS, name="support", clinic_id=world.clinic_id, expires_at=world.keys.clock()
    )
    for conversation_id, profile_id in ((UUID(id), None), (None, patient.id)):
        command = ExplainDelivery(
            caller=ops, conversation_id=conversation_id, sequence=0, profile_id=profile_id
        )
        await explain_delivery(
            command, storage=world.storage, witnesses=StatedWitnesses(world.directory)
        )

    audited = await world.worker.connect(
        lambda c: c.execute(_AUDITED, {"clinic_id": world.clinic_id})
    )
    assert [tuple(row) for row in audited] == [
        ("ops:support", "conversation", id),
        ("ops:support", "profile", str(patient.id)),
    ]
