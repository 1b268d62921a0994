"""The one-click unsubscribe of a mail: unticks, and never ticks (R23)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.staff_member import StaffMember, opted_out
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_staff_member
from services.directory.usecases.repeats import content_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearNotificationPreference:
    """`mail_time` is when the latest message of the mail was sent, where the mail says it."""

    caller: Caller
    staff_id: UUID
    mail_time: datetime | None
    request_id: UUID


async def clear_notification_preference(
    tx: Transaction, command: ClearNotificationPreference
) -> StaffMember:
    """Neither a late repeat nor an old mail unticks what the person has ticked again since."""
    member = await access_staff_member(tx, command.staff_id, lock=True)
    earlier = await tx.earlier_result(
        command.request_id,
        method="ClearNotificationPreference",
        content=content_of(command),
        result_id=member.id,
    )
    changed = opted_out(member, of_mail_at=command.mail_time)
    if earlier is not None or changed == member:
        await tx.remind(member)
        return member
    saved = await tx.staff_members.save(member, changed, now=tx.now)
    await tx.note("clear_notification_preference", "staff", member.id)
    await tx.announce(saved)
    return saved
