"""One's own mail about new messages: nobody else ticks it, whatever their access (R23)."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.staff_member import (
    StaffMember,
    check_oneself,
    opted_in,
    opted_out,
)
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_staff_member
from services.directory.usecases.repeats import content_of


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateNotificationPreference:
    caller: Caller
    staff_id: UUID
    mail_opted_in: bool
    request_id: UUID


async def update_notification_preference(
    tx: Transaction, command: UpdateNotificationPreference
) -> StaffMember:
    """The last save wins; it concerns messages sent after it (R26)."""
    member = await access_staff_member(tx, command.staff_id, lock=True)
    check_oneself(tx.caller.person, member.id)
    earlier = await tx.earlier_result(
        command.request_id,
        method="UpdateNotificationPreference",
        content=content_of(command),
        result_id=member.id,
    )
    changed = opted_in(member, now=tx.now) if command.mail_opted_in else opted_out(member)
    if earlier is not None or changed == member:
        await tx.remind(member)
        return member
    saved = await tx.staff_members.save(member, changed, now=tx.now)
    await tx.note("update_notification_preference", "staff", member.id)
    await tx.announce(saved)
    return saved
