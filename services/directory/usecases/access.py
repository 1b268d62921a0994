"""The only way from an id in a request to an object, and from a caller to what they may do.

Access levels and ownership are looked up at every call, never trusted from a token.
"""

from uuid import UUID

from services.chassis.errors import SessionEnded
from services.chassis.identity import Role
from services.directory.domain.clinic import Clinic
from services.directory.domain.errors import (
    ClinicNotFound,
    MergeNotFound,
    ProfileNotFound,
    SessionNotFound,
    StaffMemberNotFound,
)
from services.directory.domain.merge import Merge
from services.directory.domain.profile import Profile
from services.directory.domain.session import Session, person_of
from services.directory.domain.staff_member import (
    StaffMember,
    check_full_access,
    check_standard_access,
)
from services.directory.storage.sessions import Standing
from services.directory.storage.unit_of_work import Transaction


async def access_clinic(tx: Transaction, *, lock: bool = False) -> Clinic:
    """The caller's clinic, or the one that a machine named. Raises ClinicNotFound."""
    clinic = await (tx.clinics.lock() if lock else tx.clinics.get())
    if clinic is None:
        raise ClinicNotFound("There is no such clinic", clinic_id=str(tx.caller.clinic))
    return clinic


async def access_actor(tx: Transaction) -> StaffMember:
    """The staff member who calls, as they are now."""
    actor = await tx.staff_members.get(tx.caller.person)
    if actor is None or not actor.active:
        raise SessionEnded("The staff member is no longer active")
    return actor


def access_standing(tx: Transaction) -> Standing:
    """What the staff member who calls may do with messages, as it is now."""
    if tx.standing is None or not tx.standing.staff_active:
        raise SessionEnded("The staff member is no longer active")
    return tx.standing


async def with_full_access(tx: Transaction) -> StaffMember:
    """The staff member who calls. Raises FullAccessRequired (R2, R3)."""
    actor = await access_actor(tx)
    check_full_access(actor)
    return actor


async def with_standard_access(tx: Transaction) -> StaffMember:
    """The staff member who calls. Raises StandardAccessRequired."""
    actor = await access_actor(tx)
    check_standard_access(actor)
    return actor


async def access_staff_member(
    tx: Transaction, staff_id: UUID, *, lock: bool = False
) -> StaffMember:
    """Raises StaffMemberNotFound: absent and of another clinic look alike (R33)."""
    store = tx.staff_members
    member = await (store.lock(staff_id) if lock else store.get(staff_id))
    if member is None:
        raise StaffMemberNotFound("There is no such staff member", staff_id=str(staff_id))
    return member


async def access_profile(tx: Transaction, profile_id: UUID, *, lock: bool = False) -> Profile:
    """Raises ProfileNotFound: absent and of another clinic look alike (R33)."""
    profile = await (tx.profiles.lock(profile_id) if lock else tx.profiles.get(profile_id))
    if profile is None:
        raise ProfileNotFound("There is no such profile", profile_id=str(profile_id))
    return profile


async def access_merge(tx: Transaction, merge_id: UUID) -> Merge:
    """Raises MergeNotFound: absent and of another clinic look alike (R33)."""
    merge = await tx.merges.get(merge_id)
    if merge is None:
        raise MergeNotFound("There is no such merge", merge_id=str(merge_id))
    return merge


async def access_session(tx: Transaction, session_id: UUID) -> Session:
    """One's own session or, for a machine or staff with full access, anybody's in the clinic.

    Raises SessionNotFound: absent and not the caller's to see look alike.
    """
    session = await tx.sessions.get(session_id)
    if session is None or not await _may_see(tx, session):
        raise SessionNotFound("There is no such session", session_id=str(session_id))
    return session


async def _may_see(tx: Transaction, session: Session) -> bool:
    if not tx.caller.is_person or session.person == person_of(tx.caller):
        return True
    return tx.caller.role is Role.STAFF and (await access_actor(tx)).has_full_access
