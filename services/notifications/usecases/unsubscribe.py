"""A staff member clicked unsubscribe in a mail: it counts as the person (R23)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.notifications.clients.directory import Directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """`dispatch_id` is of the mail that was clicked in, `latest_at` of the last message that it
    tells of: however old the mail, it does not undo what its reader ticked again since."""

    clinic_id: UUID
    staff_id: UUID
    dispatch_id: UUID
    latest_at: datetime


async def unsubscribe(command: Unsubscribe, *, directory: Directory) -> bool:
    """Untick the preference, in the directory, which owns it; false where it was ticked anew."""
    return await directory.clear_mail_preference(
        command.clinic_id,
        command.staff_id,
        ticked_until=command.latest_at,
        request_id=command.dispatch_id,
    )
