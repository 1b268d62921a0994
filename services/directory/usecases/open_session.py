"""A sign-in, recorded after the platform has made sure who it is."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.chassis.ids import uuid7
from services.directory.domain.merge import check_lives
from services.directory.domain.session import Session
from services.directory.domain.staff_member import check_active
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import (
    access_clinic,
    access_profile,
    access_session,
    access_staff_member,
)
from services.directory.usecases.repeats import content_of
from services.messaging_rule import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    caller: Caller
    side: Side
    person_id: UUID
    request_id: UUID


async def open_session(tx: Transaction, command: OpenSession) -> Session:
    """Raises StaffInactive or ProfileMerged for who may not sign in.

    The person's lock makes a sign-in at the moment of a merge or a deactivation come before it,
    and be ended with the others, or after it, and be refused.
    """
    await access_clinic(tx)
    await _check_person(tx, command)
    session_id = uuid7()
    earlier = await tx.earlier_result(
        command.request_id,
        method="OpenSession",
        content=content_of(command),
        result_id=session_id,
    )
    if earlier is not None:
        session = await access_session(tx, earlier)
        await tx.remind(session)
        return session
    session = Session(
        clinic_id=tx.caller.clinic,
        id=session_id,
        side=command.side,
        person_id=command.person_id,
        opened_at=tx.now,
        last_activity_at=tx.now,
        ended_at=None,
        end_cause=None,
        version=1,
    )
    await tx.sessions.create(session)
    await tx.note("open_session", "session", session.id)
    await tx.announce(session)
    return session


async def _check_person(tx: Transaction, command: OpenSession) -> None:
    if command.side is Side.STAFF:
        check_active(await access_staff_member(tx, command.person_id, lock=True))
    else:
        profile = await access_profile(tx, command.person_id, lock=True)
        check_lives(profile, chain=await tx.profiles.chain(profile.id))
