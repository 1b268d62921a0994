"""Profiles that another system says were replaced are merged into those that replace them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.chassis.ids import uuid7
from services.directory.domain.importing import Counts
from services.directory.storage.imports import Link
from services.directory.storage.unit_of_work import Storage, Transaction
from services.directory.usecases.access import access_clinic
from services.directory.usecases.merge_profiles import merge_locked

_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOpenLinks:
    caller: Caller
    source_system: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleLink:
    caller: Caller
    source_system: str
    value: str
    secondary_id: UUID
    primary_id: UUID


async def settle_links(caller: Caller, source_system: str, storage: Storage) -> Counts:
    """Make what merges can be made, one a transaction; how many were, and how many are left."""
    counts, after = Counts(), ""
    while links := await storage.run(
        list_open_links, ListOpenLinks(caller=caller, source_system=source_system, after=after)
    ):
        for link in links:
            counts = counts.plus(await _settle(caller, source_system, link, storage))
        after = links[-1].value
    return counts


async def _settle(caller: Caller, source_system: str, link: Link, storage: Storage) -> Counts:
    if link.secondary_id is None or link.primary_id is None:
        return Counts(unmerged=1)
    command = SettleLink(
        caller=caller,
        source_system=source_system,
        value=link.value,
        secondary_id=link.secondary_id,
        primary_id=link.primary_id,
    )
    return await storage.run(settle_link, command)


async def list_open_links(tx: Transaction, command: ListOpenLinks) -> Sequence[Link]:
    await access_clinic(tx)
    return await tx.imports.open_links(command.source_system, after=command.after, most=_PAGE)


async def settle_link(tx: Transaction, command: SettleLink) -> Counts:
    """Merge the replaced profile into the one that survives the replacing one (I4, I7).

    What people have merged there already is as the link says; elsewhere, people know better.
    """
    survivor_id = [command.primary_id, *await tx.profiles.chain(command.primary_id)][-1]
    locked = await tx.imports.lock_profiles([command.secondary_id, survivor_id])
    survivor, secondary = locked.get(survivor_id), locked.get(command.secondary_id)
    if survivor is None or secondary is None or survivor.merged_into is not None:
        return Counts(unmerged=1)
    merge_id, counts = secondary.merge_id, Counts()
    if merge_id is None:
        if survivor.id == secondary.id:
            return Counts(unmerged=1)
        merge = await merge_locked(tx, uuid7(), survivor, secondary)
        merge_id, counts = merge.id, Counts(merged=1)
    elif survivor.id not in await tx.profiles.chain(secondary.id):
        return Counts(unmerged=1)
    await tx.imports.close_link(command.source_system, command.value, merge_id=merge_id)
    return counts
