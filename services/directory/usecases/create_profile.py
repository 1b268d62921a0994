"""A new patient or contact; that it looks like another one does not stand in its way."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.chassis.ids import uuid7
from services.directory.domain.profile import Profile, ProfileChanges, new_profile
from services.directory.domain.staff_member import check_full_access
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_profile, with_standard_access
from services.directory.usecases.repeats import content_of
from services.messaging_rule import Override


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateProfile:
    caller: Caller
    changes: ProfileChanges
    request_id: UUID


async def create_profile(tx: Transaction, command: CreateProfile) -> Profile:
    """Needs standard access, for an override other than INHERIT full access (R3)."""
    actor = await with_standard_access(tx)
    if command.changes.override not in (None, Override.INHERIT):
        check_full_access(actor)
    profile_id = uuid7()
    earlier = await tx.earlier_result(
        command.request_id,
        method="CreateProfile",
        content=content_of(command),
        result_id=profile_id,
    )
    if earlier is not None:
        return await access_profile(tx, earlier)
    profile = new_profile(command.changes, clinic_id=tx.caller.clinic, id=profile_id, now=tx.now)
    await tx.profiles.create(profile)
    await tx.note("create_profile", "profile", profile.id)
    await tx.publish(profile)
    return profile
