"""A merge is undone, whatever others stand: it takes back its own reason only (R51, I5, I6)."""

from dataclasses import dataclass, replace
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.errors import MergeUndone
from services.directory.domain.merge import Merge
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_merge, access_profile, with_full_access
from services.directory.usecases.repeats import content_of


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmergeProfiles:
    caller: Caller
    merge_id: UUID
    request_id: UUID


async def unmerge_profiles(tx: Transaction, command: UnmergeProfiles) -> Merge:
    """The secondary is a profile of its own again. Raises MergeUndone or MergeNotFound."""
    await with_full_access(tx)
    named = await access_merge(tx, command.merge_id)
    secondary = await access_profile(tx, named.secondary_profile_id, lock=True)
    merge = await access_merge(tx, named.id)  # read again, now that nobody else can undo it
    earlier = await tx.earlier_result(
        command.request_id,
        method="UnmergeProfiles",
        content=content_of(command),
        result_id=merge.id,
    )
    if earlier is not None:
        await tx.remind(secondary)
        return merge
    if not merge.in_force:
        raise MergeUndone("This merge was undone before", merge_id=str(merge.id))
    undone = await tx.merges.undo(merge.id, actor=tx.caller.actor, now=tx.now)
    back = replace(secondary, merged_into=None, merge_id=None, unmerged_at=tx.now)
    saved = await tx.profiles.save(secondary, back)
    await tx.note("unmerge_profiles", "merge", merge.id)
    await tx.announce(saved)
    return undone
