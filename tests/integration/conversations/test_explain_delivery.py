""" "Why didn't they get it?" has an ordered answer, for who may ask."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from clinic.conversations.v1.delivery_cause_pb2 import DeliveryCause
from services.chassis.identity import Caller, Role
from services.conversations.domain.explaining import Kind
from services.conversations.usecases.explain_delivery import ExplainDelivery, explain_delivery
from services.messaging_rule import Override, Side
from tests.support.conversations_world import StatedWitnesses, a_profile
from tests.support.grpc_world import failure, reason

_AUDITED = text("""
select actor, object_type, object_id from audit
where clinic_id = :clinic_id and action = 'explain_delivery' order by id
""")
_TIMED = frozenset({Kind.SIGNED_IN_AT_ARRIVAL, Kind.SIGNED_IN_LAST})


@pytest.fixture
async def thread(world):
    doctor, patient = await world.staff(), await world.profile()
    conversation = await doctor.start(patient)
    return doctor, patient, conversation.conversation_id


async def test_a_thread_without_a_message_says_so(thread):
    doctor, _, id = thread

    assert await doctor.explain(conversation_id=id) == ["NO_MESSAGE", "SIGNED_IN_LAST"]


async def test_a_message_is_explained_from_thread_to_ledger_to_duplicates(world, thread):
    doctor, patient, id = thread
    await doctor.send(id)
    await patient.mark(id, 1)
    world.directory.duplicates[patient.id] = [uuid4()]

    assert await doctor.explain(conversation_id=id, sequence=1) == [
        "IN_CONVERSATION",
        "MESSAGE_READ",
        "SIGNED_IN_AT_ARRIVAL",
        "NOTIFICATION",
        "SIGNED_IN_LAST",
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
        "SIGNED_IN_AT_ARRIVAL",
        "NOTIFICATION",
        "SIGNED_IN_LAST",
    ]


async def test_every_rule_that_stands_in_the_way_is_told(world, thread):
    doctor, patient, id = thread
    await world.update(patient, do_not_email=True, override=Override.BLOCK)
    await world.merge(patient, await world.profile())

    assert (await doctor.explain(conversation_id=id))[:4] == [
        "PROFILE_MERGED",
        "MESSAGING_BLOCKED",
        "RECIPIENT_DO_NOT_EMAIL",
        "NO_MESSAGE",
    ]


async def test_who_was_not_signed_in_when_it_arrived_is_said_so(world, thread):
    doctor, patient, id = thread
    await world.end_session(patient)
    await doctor.send(id)
    await world.sign_in(Side.PROFILE, patient.id, world.clinic_id)

    assert "NOT_SIGNED_IN_AT_ARRIVAL" in await doctor.explain(conversation_id=id)


async def test_an_answer_is_explained_by_the_staff_member_s_own_session(thread):
    doctor, patient, id = thread
    await doctor.send(id)
    await patient.send(id)

    assert await doctor.explain(conversation_id=id) == [
        "IN_CONVERSATION",
        "SIGNED_IN_AT_ARRIVAL",
        "NOTIFICATION",
    ]


async def test_the_profile_that_is_in_use_is_named(world, thread):
    doctor, patient, id = thread
    await doctor.send(id)

    assert _in_use(await doctor.causes(conversation_id=id)) == str(patient.id)
    double = await world.profile()
    world.directory.duplicates[patient.id] = [double.id]
    assert _in_use(await doctor.causes(conversation_id=id)) == str(double.id)
    survivor = await world.profile()
    await world.merge(patient, survivor)
    assert _in_use(await doctor.causes(conversation_id=id)) == str(survivor.id)


def _in_use(causes):
    [found] = [cause for cause in causes if cause.kind == DeliveryCause.KIND_SIGNED_IN_LAST]
    return found.related_profile_id


async def test_a_profile_that_nobody_ever_signed_in_to_is_told(world):
    doctor = await world.staff()
    state = a_profile(world.clinic_id)
    await world.tell(state)

    assert await doctor.explain(profile_id=str(state.profile_id)) == ["NEVER_SIGNED_IN"]


async def test_when_somebody_signed_in_is_for_support_alone(world, thread):
    doctor, _, id = thread
    await doctor.send(id)
    wire = {DeliveryCause.Kind.Value(f"KIND_{kind}") for kind in _TIMED}

    told = [cause for cause in await doctor.causes(conversation_id=id) if cause.kind in wire]
    known = [cause for cause in await _investigated(world, UUID(id), None) if cause.kind in _TIMED]

    assert [cause.HasField("cause_time") for cause in told] == [False, False]
    assert [cause.at is not None for cause in known] == [True, True]


async def test_that_notifications_cannot_be_asked_is_said(world, thread):
    doctor, _, id = thread
    await doctor.send(id)

    world.directory.reachable = False

    assert await doctor.explain(conversation_id=id) == [
        "IN_CONVERSATION",
        "SIGNED_IN_AT_ARRIVAL",
        "NOTIFICATIONS_UNREACHABLE",
        "SIGNED_IN_LAST",
    ]


async def test_a_profile_can_be_asked_about_before_there_is_a_thread(world):
    doctor, patient = await world.staff(), await world.profile(do_not_email=True)

    assert await doctor.explain(profile_id=str(patient.id)) == [
        "RECIPIENT_DO_NOT_EMAIL",
        "SIGNED_IN_LAST",
    ]


@pytest.mark.parametrize("somebody", ["staff", "profile"])
async def test_who_takes_no_part_learns_nothing(world, thread, somebody):
    doctor, _, id = thread
    await doctor.send(id)
    other = await getattr(world, somebody)()

    error = await failure(other.explain(conversation_id=id))

    assert reason(error) == "CONVERSATION_NOT_FOUND"


async def test_a_patient_is_told_what_the_conversation_shows_and_nothing_of_the_staff_member(
    world, thread
):
    doctor, patient, id = thread
    await doctor.send(id)
    await patient.send(id)
    await doctor.mark(id, 2)
    await world.update(patient, do_not_email=True, override=Override.BLOCK)
    await world.deactivate(doctor)
    world.directory.duplicates[patient.id] = [uuid4()]

    assert await patient.explain(conversation_id=id) == [
        "STAFF_INACTIVE",
        "IN_CONVERSATION",
        "MESSAGE_READ",
    ]


async def test_a_patient_asks_of_no_profile(world, thread):
    _, patient, _ = thread

    error = await failure(patient.explain(profile_id=str(patient.id)))

    assert reason(error) == "PROFILE_NOT_FOUND"


async def test_nothing_named_is_a_missing_field(thread):
    doctor, _, _ = thread

    assert reason(await failure(doctor.explain())) == "FIELD_REQUIRED"


async def test_what_support_asks_of_a_thread_and_of_a_profile_is_audited(world, thread):
    _, patient, id = thread
    await _investigated(world, UUID(id), None)
    await _investigated(world, None, patient.id)

    audited = await world.worker.connect(
        lambda c: c.execute(_AUDITED, {"clinic_id": world.clinic_id})
    )
    assert [tuple(row) for row in audited] == [
        ("ops:support", "conversation", id),
        ("ops:support", "profile", str(patient.id)),
    ]


async def _investigated(world, conversation_id, profile_id):
    """What support is told."""
    ops = Caller(
        role=Role.OPS, name="support", clinic_id=world.clinic_id, expires_at=world.keys.clock()
    )
    command = ExplainDelivery(
        caller=ops, conversation_id=conversation_id, sequence=0, profile_id=profile_id
    )
    return await explain_delivery(
        command, storage=world.storage, witnesses=StatedWitnesses(world.directory)
    )
