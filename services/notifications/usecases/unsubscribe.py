"""A staff member clicked unsubscribe in a mail: it counts as the person (R23)."""

from dataclasses import dataclass
from uuid import UUID

from services.notifications.clients.directory import Directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """`dispatch_id` is of the mail that was clicked in: a second click of the same mail does not
    undo what its reader ticked again in between."""

    clinic_id: UUID
    staff_id: UUID
    dispatch_id: UUID


async def unsubscribe(command: Unsubscribe, *, directory: Directory) -> None:
    """Untick the preference, in the directory, which owns it."""
    await directory.clear_mail_preference(
        command.clinic_id, command.staff_id, request_id=command.dispatch_id
    )
