"""What a profile is called, how it is reached and what may be sent to it (R3, R41, I14, I30)."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.etag import check_etag
from services.directory.domain.profile import Profile, ProfileChanges, changed_profile, gates_of
from services.directory.domain.staff_member import check_full_access
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_profile, with_standard_access
from services.directory.usecases.repeats import content_of


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateProfile:
    caller: Caller
    profile_id: UUID
    changes: ProfileChanges
    etag: str
    request_id: UUID


async def update_profile(tx: Transaction, command: UpdateProfile) -> Profile:
    """Needs standard access, for the override full access (R3)."""
    actor = await with_standard_access(tx)
    if command.changes.override is not None:
        check_full_access(actor)
    profile = await access_profile(tx, command.profile_id, lock=True)
    earlier = await tx.earlier_result(
        command.request_id,
        method="UpdateProfile",
        content=content_of(command),
        result_id=profile.id,
    )
    if earlier is None:
        check_etag(command.etag, profile.version, profile_id=str(profile.id))
        changed = changed_profile(profile, command.changes, now=tx.now)
        if changed != profile:
            return await _save(tx, profile, changed)
    await tx.remind(profile)
    return profile


async def _save(tx: Transaction, profile: Profile, changed: Profile) -> Profile:
    saved = await tx.profiles.save(profile, changed)
    await tx.note("update_profile", "profile", profile.id)
    # Only what decides on messages has to be in force elsewhere when the call returns.
    gates_moved = gates_of(saved) != gates_of(profile)
    await (tx.announce(saved) if gates_moved else tx.publish(saved))
    return saved
