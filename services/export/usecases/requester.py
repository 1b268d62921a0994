"""Who may have an export: the Account Owner, under the address on their staff profile (R43)."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.errors import Unavailable
from services.chassis.identity import Caller
from services.export.clients.directory import Directory
from services.export.domain.errors import OwnerChanged, RequesterNotOwner
from services.export.domain.export import Export
from services.export.domain.requester import Requester, address_key, check_address
from services.export.storage.unit_of_work import Storage, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class FindOwners:
    caller: Caller


async def verify_requester(
    caller: Caller, address: str, *, storage: Storage, directory: Directory
) -> Requester:
    """The owner that a request comes from. Raises RequesterNotOwner, the same for every reason."""
    check_address(address)
    owner = await _owner(caller, storage=storage, directory=directory)
    asking = storage.address_hash(caller.clinic, address_key(address))
    if owner is None or not hmac.compare_digest(owner.address_hash, asking):
        raise RequesterNotOwner("Exports are for the Account Owner, asked for from their address")
    return owner


async def verify_unchanged(
    caller: Caller, export: Export, *, storage: Storage, directory: Directory
) -> None:
    """Raises OwnerChanged unless the owner is who asked, under the same address still (I24)."""
    owner = await _owner(caller, storage=storage, directory=directory)
    if owner != Requester(export.owner_id, export.requester):
        raise OwnerChanged("The owner or their address changed since; they have to ask anew")


async def _owner(caller: Caller, *, storage: Storage, directory: Directory) -> Requester | None:
    """The Account Owner as the directory has them now; None for a clinic that it has not, and for
    an owner without an address.

    Raises Unavailable where it is out of reach, or the news of a transfer are still on the way.
    """
    command = FindOwners(caller=caller)
    for staff_id in await storage.run(_owners, command):
        await storage.staff_member_exists(caller.clinic, staff_id)
    owners = await storage.run(_owners, command)
    if len(owners) != 1:
        if not owners and not await storage.clinic_exists(caller.clinic):
            return None
        raise Unavailable("It is not known here yet who is Account Owner; repeat the call")
    address = await directory.address_of(caller.clinic, owners[0])
    if not address:
        return None
    return Requester(owners[0], storage.address_hash(caller.clinic, address_key(address)))


async def _owners(tx: Transaction, command: FindOwners) -> Sequence[UUID]:
    return await tx.people.owners()
