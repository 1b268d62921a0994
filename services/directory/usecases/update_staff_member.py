"""What a staff member is called, does and may; the owner's record only the owner changes."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.etag import check_etag
from services.directory.domain.staff_member import (
    StaffChanges,
    StaffMember,
    changed_member,
    check_may_change,
)
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_staff_member, with_full_access
from services.directory.usecases.repeats import content_of


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStaffMember:
    caller: Caller
    staff_id: UUID
    changes: StaffChanges
    etag: str
    request_id: UUID


async def update_staff_member(tx: Transaction, command: UpdateStaffMember) -> StaffMember:
    actor = await with_full_access(tx)
    member = await access_staff_member(tx, command.staff_id, lock=True)
    check_may_change(actor, member)
    earlier = await tx.earlier_result(
        command.request_id,
        method="UpdateStaffMember",
        content=content_of(command),
        result_id=member.id,
    )
    if earlier is not None:
        return member
    check_etag(command.etag, member.version, staff_id=str(member.id))
    changed = changed_member(member, command.changes)
    if changed == member:
        return member
    saved = await tx.staff_members.save(member, changed, now=tx.now)
    await tx.note("update_staff_member", "staff", member.id)
    await tx.publish(saved)
    return saved
