"""Sign-ins: opened by the platform, touched, closed, expired, always in the state (I8, I19)."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import grpc

from clinic.directory.v1 import session_pb2
from services.chassis.clock import system_clock
from services.directory.domain.session import SessionLimits
from services.directory.usecases.confirm import Peers
from services.directory.usecases.expire_sessions import expire_due
from tests.support.directory_world import FULL, LIMITED
from tests.support.grpc_world import failure, reason

LOGOUT = session_pb2.SESSION_END_CAUSE_LOGOUT
REVOKED = session_pb2.SESSION_END_CAUSE_REVOKED
EXPIRED = session_pb2.SESSION_END_CAUSE_EXPIRED


async def test_a_sign_in_is_told_to_both_services_at_once(world, owner):
    for peer in (world.conversations, world.notifications):
        assert str(peer.told[-1].subject.id) == owner.session_id


async def test_a_sign_in_succeeds_when_nobody_confirms_it(world, owner):
    world.conversations.confirms = world.notifications.confirms = False

    again = await world.sign_in(owner.clinic_id, staff_id=owner.id)

    assert (await again.call("GetClinic")).clinic.clinic_id == owner.clinic_id


async def test_a_repeat_of_a_sign_in_is_the_same_session(world, owner):
    open_session = {
        "clinic_id": owner.clinic_id,
        "staff_id": owner.id,
        "request_id": str(uuid4()),
    }

    first = await world.machine("OpenSession", **open_session)
    second = await world.machine("OpenSession", **open_session)

    assert first == second


async def test_nobody_signs_in_who_is_not_there(world, owner):
    for person, missing in (("staff_id", "STAFF_MEMBER"), ("profile_id", "PROFILE")):
        error = await failure(world.sign_in(owner.clinic_id, **{person: str(uuid4())}))

        assert reason(error) == f"{missing}_NOT_FOUND"


async def test_a_touch_moves_the_activity_at_most_once_a_minute(world, owner):
    first = (await owner.call("TouchSession")).session
    age_session(world, owner.session_id, timedelta(seconds=61))

    second = (await owner.call("TouchSession")).session
    third = (await owner.call("TouchSession")).session

    assert second.last_activity_time.ToDatetime() >= first.last_activity_time.ToDatetime()
    assert second == third
    assert [state.version for state in world.events_of(owner.session_id)] == [1, 2]


def age_session(world, session_id, age):
    world.rows(
        "update sessions set last_activity_at = last_activity_at - %s where id = %s returning 1",
        age,
        session_id,
    )


async def test_a_logout_ends_the_session_and_may_be_repeated(world, owner):
    first = (await owner.call("CloseSession")).session
    second = (await owner.call("CloseSession")).session

    assert first.end_cause == LOGOUT
    assert first == second
    assert reason(await failure(owner.call("GetClinic"))) == "SESSION_ENDED"
    assert world.conversations.told[-1].subject.ended_at is not None


async def test_an_ended_session_closes_no_other(world, owner):
    other = await world.sign_in(owner.clinic_id, staff_id=owner.id)
    await owner.call("CloseSession")

    error = await failure(owner.call("CloseSession", session_id=other.session_id))

    assert reason(error) == "SESSION_ENDED"


async def test_one_closes_ones_other_sessions(world, owner):
    other = await world.sign_in(owner.clinic_id, staff_id=owner.id)

    closed = (await owner.call("CloseSession", session_id=other.session_id)).session

    assert closed.end_cause == REVOKED


async def test_full_access_closes_anybodys_and_nobody_else_does(world, owner):
    doctor, admin = await world.staff(owner.clinic_id, LIMITED), await world.staff(owner.clinic_id)

    error = await failure(doctor.call("CloseSession", session_id=admin.session_id))
    closed = (await admin.call("CloseSession", session_id=doctor.session_id)).session

    assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
    assert closed.end_cause == REVOKED


async def test_the_session_of_another_person_does_not_fit_a_token(world, owner):
    doctor = await world.staff(owner.clinic_id, LIMITED)
    doctor.session_id = owner.session_id

    assert reason(await failure(doctor.call("GetClinic"))) == "SESSION_ENDED"
    assert reason(await failure(doctor.call("CloseSession"))) == "SESSION_ENDED"


async def test_sessions_are_listed_the_newest_first(world, owner):
    second = await world.sign_in(owner.clinic_id, staff_id=owner.id)
    third = await world.sign_in(owner.clinic_id, staff_id=owner.id)
    await second.call("CloseSession")

    first_page = await owner.call("ListSessions", page_size=1)
    next_page = await owner.call("ListSessions", page_token=first_page.next_page_token)
    ended_too = await owner.call("ListSessions", include_ended=True)

    listed = [*first_page.sessions, *next_page.sessions]
    assert [session.session_id for session in listed] == [third.session_id, owner.session_id]
    assert len(ended_too.sessions) == 3


async def test_a_patient_lists_only_their_own(world, owner):
    profile = await owner.create_profile()
    patient = await world.sign_in(owner.clinic_id, profile_id=profile.profile_id)

    own = await patient.call("ListSessions")
    error = await failure(patient.call("ListSessions", staff_id=owner.id))

    assert [session.session_id for session in own.sessions] == [patient.session_id]
    assert (error.code(), reason(error)) == (
        grpc.StatusCode.NOT_FOUND,
        "STAFF_MEMBER_NOT_FOUND",
    )


async def test_staff_without_full_access_list_only_their_own(world, owner):
    doctor = await world.staff(owner.clinic_id, LIMITED)

    error = await failure(doctor.call("ListSessions", staff_id=owner.id))

    assert reason(error) == "FULL_ACCESS_REQUIRED"
    assert (await owner.call("ListSessions", staff_id=doctor.id)).sessions


async def expire(world):
    peers = Peers(conversations=world.conversations, notifications=world.notifications)
    limits = SessionLimits(idle=timedelta(hours=1), lifetime=timedelta(days=9))
    await expire_due(world.storage, peers, limits=limits, clock=system_clock)


async def test_an_idle_session_expires_and_a_live_one_does_not(world, owner):
    admin = await world.staff(owner.clinic_id, FULL)
    age_session(world, owner.session_id, timedelta(minutes=61))

    await expire(world)

    idle = await world.state(owner.clinic_id, session_id=owner.session_id)
    live = await world.state(owner.clinic_id, session_id=admin.session_id)
    assert (idle.end_cause, idle.version) == (EXPIRED, 2)
    assert not live.HasField("end_time")
    assert [state.end_cause for state in world.events_of(owner.session_id)] == [0, EXPIRED]
    assert str(world.notifications.told[-1].subject.id) == owner.session_id


async def test_a_session_expires_at_the_end_of_its_life_however_active(world, owner):
    world.rows(
        "update sessions set opened_at = opened_at - interval '9 days' where id = %s returning 1",
        owner.session_id,
    )

    await expire(world)

    assert reason(await failure(owner.call("TouchSession"))) == "SESSION_ENDED"


async def test_a_sign_in_that_races_with_a_deactivation_is_refused_or_ended(world, owner):
    doctors = [await world.staff(owner.clinic_id, LIMITED) for _ in range(5)]

    await asyncio.gather(
        *(world.sign_in(owner.clinic_id, staff_id=doctor.id) for doctor in doctors),
        *(owner.call("DeactivateStaffMember", staff_id=doctor.id) for doctor in doctors),
        return_exceptions=True,
    )

    alive = world.rows(
        "select count(*) from sessions where person_id = any(%s) and ended_at is null",
        [doctor.id for doctor in doctors],
    )
    assert alive == [(0,)]
