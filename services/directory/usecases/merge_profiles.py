"""Two profiles become one person: the secondary is archived, the primary stays as it is (R48, R49).

Nothing is copied or moved (R50), so that any merge can be undone in any order (I4 to I6).
"""

from dataclasses import dataclass, replace
from uuid import UUID

from services.chassis.identity import Caller
from services.chassis.ids import uuid7
from services.directory.domain.errors import StaffMergeUnsupported
from services.directory.domain.merge import (
    Merge,
    check_distinct,
    check_lives,
    check_mergeable,
)
from services.directory.domain.profile import Profile
from services.directory.domain.session import EndCause
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_merge, access_profile, with_full_access
from services.directory.usecases.repeats import content_of
from services.messaging_rule import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeProfiles:
    caller: Caller
    primary_profile_id: UUID
    secondary_profile_id: UUID
    request_id: UUID


async def merge_profiles(tx: Transaction, command: MergeProfiles) -> Merge:
    """Raises SelfMerge, MergeCycle, ProfileMerged, StaffMergeUnsupported or ProfileNotFound.

    Of two merges of one profile at once the second is ProfileMerged: it waits for the lock.
    """
    await with_full_access(tx)
    check_distinct(command.primary_profile_id, command.secondary_profile_id)
    await _refuse_staff(tx, command)
    primary, secondary = await _locked(tx, command)
    merge_id = uuid7()
    earlier = await tx.earlier_result(
        command.request_id,
        method="MergeProfiles",
        content=content_of(command),
        result_id=merge_id,
    )
    if earlier is not None:
        await tx.remind(secondary)
        return await access_merge(tx, earlier)
    check_lives(secondary, chain=await tx.profiles.chain(secondary.id))
    check_mergeable(primary, secondary, chain=await tx.profiles.chain(primary.id))
    return await merge_locked(tx, merge_id, primary, secondary)


async def _refuse_staff(tx: Transaction, command: MergeProfiles) -> None:
    ids = [command.primary_profile_id, command.secondary_profile_id]
    for member in await tx.staff_members.many(ids):
        raise StaffMergeUnsupported("Staff are not merged", staff_id=str(member.id))


async def _locked(tx: Transaction, command: MergeProfiles) -> tuple[Profile, Profile]:
    """Both profiles, locked in the order of their ids: two merges cannot block each other."""
    ids = (command.primary_profile_id, command.secondary_profile_id)
    locked = {id: await access_profile(tx, id, lock=True) for id in sorted(ids)}
    return locked[ids[0]], locked[ids[1]]


async def merge_locked(
    tx: Transaction, merge_id: UUID, primary: Profile, secondary: Profile
) -> Merge:
    """Merge two profiles that are locked and were checked."""
    merge = Merge(
        clinic_id=primary.clinic_id,
        id=merge_id,
        primary_profile_id=primary.id,
        secondary_profile_id=secondary.id,
        actor=tx.caller.actor,
        merged_at=tx.now,
    )
    await tx.merges.create(merge)
    away = replace(secondary, merged_into=primary.id, merge_id=merge.id)
    saved = await tx.profiles.save(secondary, away)
    # Sessions of the merged-away profile stop working on its threads at once (I8).
    ended = await tx.sessions.end_all_of(
        Side.PROFILE, secondary.id, cause=EndCause.MERGED, now=tx.now
    )
    await tx.note("merge_profiles", "merge", merge.id)
    await tx.announce(saved, *ended)
    return merge
