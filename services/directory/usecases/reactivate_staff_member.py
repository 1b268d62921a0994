"""A practitioner is back: the same threads are writable again, unread as they were (I3)."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.staff_member import StaffMember, reactivated
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_staff_member, with_full_access
from services.directory.usecases.repeats import content_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactivateStaffMember:
    caller: Caller
    staff_id: UUID
    request_id: UUID


async def reactivate_staff_member(tx: Transaction, command: ReactivateStaffMember) -> StaffMember:
    """Who is active stays so."""
    await with_full_access(tx)
    member = await access_staff_member(tx, command.staff_id, lock=True)
    earlier = await tx.earlier_result(
        command.request_id,
        method="ReactivateStaffMember",
        content=content_of(command),
        result_id=member.id,
    )
    if earlier is not None or member.active:
        await tx.remind(member)
        return member
    saved = await tx.staff_members.save(member, reactivated(member), now=tx.now)
    await tx.note("reactivate_staff_member", "staff", member.id)
    await tx.announce(saved)
    return saved
