"""Another staff member becomes the Account Owner; there is exactly one at every moment."""

from dataclasses import dataclass, replace
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.staff_member import (
    StaffMember,
    check_active,
    check_owner,
    handed_over,
)
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_staff_member
from services.directory.usecases.repeats import content_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOwnership:
    caller: Caller
    staff_id: UUID
    request_id: UUID


async def transfer_ownership(tx: Transaction, command: TransferOwnership) -> StaffMember:
    """The new owner; the former keeps full access. Raises OwnerRequired, StaffInactive."""
    former_id = tx.caller.person
    locked = {
        id: await access_staff_member(tx, id, lock=True)
        for id in sorted({former_id, command.staff_id})
    }
    former, heir = locked[former_id], locked[command.staff_id]
    earlier = await tx.earlier_result(
        command.request_id,
        method="TransferOwnership",
        content=content_of(command),
        result_id=heir.id,
    )
    if earlier is not None:
        return heir
    check_owner(former)
    check_active(heir)
    if heir.id == former.id:
        return heir
    saved = await tx.staff_members.save(former, handed_over(former), now=tx.now)
    owner = await tx.staff_members.save(heir, replace(heir, account_owner=True), now=tx.now)
    await tx.note("transfer_ownership", "staff", heir.id)
    await tx.publish(saved, owner)
    return owner
