"""A practitioner leaves: sessions end, and every thread is archived at that moment (R53)."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.chassis.ids import uuid7
from services.directory.domain.session import EndCause
from services.directory.domain.staff_member import StaffMember, deactivated
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_staff_member, with_full_access
from services.directory.usecases.repeats import content_of
from services.messaging_rule import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class DeactivateStaffMember:
    caller: Caller
    staff_id: UUID
    request_id: UUID


async def deactivate_staff_member(tx: Transaction, command: DeactivateStaffMember) -> StaffMember:
    """Who is inactive already stays so, under the same deactivation.

    Raises OwnerCannotBeDeactivated.
    """
    await with_full_access(tx)
    member = await access_staff_member(tx, command.staff_id, lock=True)
    earlier = await tx.earlier_result(
        command.request_id,
        method="DeactivateStaffMember",
        content=content_of(command),
        result_id=member.id,
    )
    if earlier is not None or not member.active:
        await tx.remind(member)
        return member
    left = deactivated(member, deactivation_id=uuid7(), now=tx.now)
    saved = await tx.staff_members.save(member, left, now=tx.now)
    ended = await tx.sessions.end_all_of(
        Side.STAFF, member.id, cause=EndCause.DEACTIVATED, now=tx.now
    )
    await tx.note("deactivate_staff_member", "staff", member.id)
    await tx.announce(saved, *ended)
    return saved
