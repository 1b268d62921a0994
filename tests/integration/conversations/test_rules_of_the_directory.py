"""What the directory says takes effect on the next call (R1 to R3, R41, R48 to R55, I1 to I15)."""

from dataclasses import replace

import grpc
import pytest

from clinic.conversations.v1 import conversation_pb2
from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.chassis.errors import DeadlineExceeded
from services.chassis.interceptors.deadline import remaining
from services.chassis.interceptors.status import error_info
from services.messaging_rule import Override, Side
from tests.support.conversations_world import a_clinic, a_profile, a_session
from tests.support.grpc_world import failure, reason


@pytest.fixture
async def thread(world):
    """A thread with one message of each side."""
    doctor, patient = await world.staff(), await world.profile()
    conversation = await doctor.start(patient)
    await doctor.send(conversation.conversation_id, "from the doctor")
    await patient.send(conversation.conversation_id, "from the patient")
    return doctor, patient, conversation.conversation_id


async def test_with_messaging_off_nothing_starts_and_nothing_is_sent(world, thread):
    doctor, patient, id = thread
    await world.clinic(allowed=False)

    for attempt in (
        doctor.start(await world.profile()),
        doctor.send(id),
        patient.send(id),
    ):
        error = await failure(attempt)
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert reason(error) == "MESSAGING_DISABLED"
    assert len(await patient.messages(id)) == 2


async def test_reading_receipts_and_deleting_go_on_with_messaging_off(world, thread):
    doctor, patient, id = thread
    await world.clinic(allowed=False)

    assert await patient.mark(id, 1) == 0
    assert (await doctor.delete(id, 1)).HasField("delete_time")


async def test_an_override_wins_over_the_policy(world, thread):
    doctor, patient, id = thread
    await world.clinic(allowed=False)
    await world.update(patient, override=Override.ALLOW)
    assert (await doctor.send(id)).sequence == 3

    await world.clinic(allowed=True)
    await world.update(patient, override=Override.BLOCK)

    assert reason(await failure(doctor.send(id))) == "MESSAGING_BLOCKED"


async def test_a_policy_just_switched_on_is_never_refused(world):
    await world.clinic(allowed=False)
    doctor, patient = await world.staff(), await world.profile()

    world.change(a_clinic(world.clinic_id, allowed=True))  # no event has arrived yet

    conversation = await doctor.start(patient)
    assert (await doctor.send(conversation.conversation_id)).sequence == 1


async def test_where_the_directory_cannot_be_reached_the_refusal_is_given(world, thread):
    doctor, _, id = thread
    await world.clinic(allowed=False)

    world.directory.reachable = False

    assert reason(await failure(doctor.send(id))) == "MESSAGING_DISABLED"


async def test_a_profile_that_the_replica_lacks_is_looked_up(world):
    doctor, state = await world.staff(), a_profile(world.clinic_id)
    world.change(state)

    conversation = await doctor.start(state.profile_id)

    assert conversation.profile_id == str(state.profile_id)


async def test_a_missing_fact_is_unavailable_where_the_directory_is(world):
    doctor = await world.staff()

    world.directory.reachable = False

    error = await failure(doctor.start(a_profile(world.clinic_id).profile_id))
    assert error.code() == grpc.StatusCode.UNAVAILABLE


async def test_an_unknown_session_is_looked_up_then_believed(world):
    doctor, patient = await world.staff(), await world.profile()
    conversation = await doctor.start(patient)
    other = await world.sign_in(Side.STAFF, doctor.id, world.clinic_id)
    async with world.database._engine.begin() as connection:  # the replica forgets it
        await connection.exec_driver_sql(
            f"select set_config('app.clinics', '{world.clinic_id}', true)"
        )
        await connection.exec_driver_sql(
            f"update replica_sessions set session_id = gen_random_uuid()"
            f" where session_id = '{other.session_id}'"
        )

    assert (await other.send(conversation.conversation_id)).sequence == 1


async def test_a_policy_just_switched_on_counts_for_who_has_just_signed_in_too(world, thread):
    doctor, _, id = thread
    await world.clinic(allowed=False)

    world.change(a_clinic(world.clinic_id, allowed=True))  # neither of the two has arrived yet
    session = a_session(world.clinic_id, Side.STAFF, doctor.id)
    world.change(session)

    assert (await replace(doctor, session_id=session.session_id).send(id)).sequence == 3


async def test_a_missing_fact_is_unavailable_where_the_answer_comes_too_late(world, monkeypatch):
    async def too_late(*asked):
        raise DeadlineExceeded("out of time")

    doctor = await world.staff()
    monkeypatch.setattr(world.directory, "get_state", too_late)

    error = await failure(doctor.start(a_profile(world.clinic_id).profile_id))
    assert error.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_look_up_is_not_bound_by_the_time_left_to_who_asked_first(world, monkeypatch):
    left = []

    async def get_state(*asked):
        left.append(remaining())

    doctor = await world.staff()
    monkeypatch.setattr(world.directory, "get_state", get_state)

    await failure(doctor.start(a_profile(world.clinic_id).profile_id))

    assert set(left) == {None}


async def test_do_not_email_refuses_the_clinic_and_lets_the_patient_answer(world, thread):
    doctor, patient, id = thread

    await world.update(patient, do_not_email=True)

    assert reason(await failure(doctor.send(id))) == "RECIPIENT_DO_NOT_EMAIL"
    assert (await patient.send(id)).sequence == 3
    shown = await doctor.get(id)
    assert not shown.can_write
    assert shown.cannot_write_reason == conversation_pb2.CANNOT_WRITE_REASON_RECIPIENT_DO_NOT_EMAIL


async def test_a_merged_away_patient_reaches_nothing_and_the_doctor_still_reads(world, thread):
    doctor, patient, id = thread
    survivor = await world.profile()

    merge_id = await world.merge(patient, survivor)

    for attempt in (patient.get(id), patient.messages(id), patient.send(id), patient.mark(id, 1)):
        error = await failure(attempt)
        assert (error.code(), reason(error)) == (
            grpc.StatusCode.NOT_FOUND,
            "CONVERSATION_NOT_FOUND",
        )
    assert (await patient.inbox(), await patient.badge()) == ([], 0)
    shown = await doctor.get(id)
    assert [(r.cause_id, r.surviving_profile_id) for r in shown.archive_reasons] == [
        (str(merge_id), str(survivor.id))
    ]
    assert len(await doctor.messages(id)) == 2
    assert await doctor.badge() == 1
    assert await doctor.mark(id, 2) == 0


async def test_a_send_to_a_merged_away_profile_leads_to_the_surviving_thread(world, thread):
    doctor, patient, id = thread
    survivor = await world.profile()
    live = await doctor.start(survivor)
    await world.merge(patient, survivor)

    error = await failure(doctor.send(id))

    assert reason(error) == "CONVERSATION_ARCHIVED"
    metadata = reason_metadata(error)
    assert metadata["surviving_profile_id"] == str(survivor.id)
    assert metadata["surviving_conversation_id"] == live.conversation_id
    started = await failure(doctor.start(patient))
    assert reason(started) == "PROFILE_MERGED"
    assert reason_metadata(started)["surviving_profile_id"] == str(survivor.id)


async def test_a_chain_leads_to_the_last_survivor_and_each_merge_owns_its_reason(world, thread):
    doctor, a, id = thread
    b, c = await world.profile(), await world.profile()
    await world.merge(a, b)
    await world.merge(b, c)
    assert (await doctor.get(id)).archive_reasons[0].surviving_profile_id == str(c.id)

    await world.unmerge(b)

    assert (await doctor.get(id)).archive_reasons[0].surviving_profile_id == str(b.id)
    await world.unmerge(a)
    assert (await a.send(id)).sequence == 3


async def test_an_unmerge_gives_back_everything_as_it_was(world, thread):
    _doctor, patient, id = thread
    before = (await patient.inbox(), await patient.messages(id), await patient.badge())
    await world.merge(patient, await world.profile())

    await world.unmerge(patient)

    assert (await patient.inbox(), await patient.messages(id), await patient.badge()) == before


async def test_when_the_practitioner_leaves_the_patient_reads_and_cannot_write(world, thread):
    doctor, patient, id = thread

    await world.deactivate(doctor)

    assert len(await patient.messages(id)) == 2
    error = await failure(patient.send(id))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert reason(error) == "CONVERSATION_READ_ONLY"
    assert await patient.mark(id, 1) == 0
    await world.reactivate(doctor)
    assert (await patient.send(id)).sequence == 3


async def test_an_unmerge_after_a_departure_gives_back_the_reading_view_only(world, thread):
    doctor, patient, id = thread
    await world.merge(patient, await world.profile())
    await world.deactivate(doctor)
    assert reason(await failure(patient.get(id))) == "CONVERSATION_NOT_FOUND"

    await world.unmerge(patient)

    shown = await patient.get(id)
    assert [r.cause for r in shown.archive_reasons] == [
        conversation_pb2.ARCHIVE_CAUSE_STAFF_INACTIVE
    ]
    assert reason(await failure(patient.send(id))) == "CONVERSATION_READ_ONLY"


async def test_a_mail_link_tells_who_it_is_for_and_nothing_else(world, thread):
    _doctor, patient, id = thread
    stranger, outcomes = await world.profile(), pb.ResolveLinkResponse
    assert await patient.resolve(id, patient.id) == outcomes.OUTCOME_OK
    assert await stranger.resolve(id, patient.id) == outcomes.OUTCOME_WRONG_PROFILE
    assert await stranger.resolve(id, stranger.id) == outcomes.OUTCOME_WRONG_PROFILE

    await world.merge(patient, stranger)

    assert await patient.resolve(id, patient.id) == outcomes.OUTCOME_PROFILE_MERGED
    assert await stranger.resolve(id, patient.id) == outcomes.OUTCOME_PROFILE_MERGED


async def test_an_older_state_never_replaces_a_newer_one(world, thread):
    doctor, patient, id = thread
    old = world.state_of(patient)
    await world.update(patient, do_not_email=True)

    await world.replica.apply([old])
    await world.replica.apply([replace(old, do_not_email=False)])

    assert reason(await failure(doctor.send(id))) == "RECIPIENT_DO_NOT_EMAIL"


def reason_metadata(error):

    info = error_info(error)
    assert info is not None
    return dict(info.metadata)
