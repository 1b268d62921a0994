"""Reading: the only thing that moves a receipt (R20 to R22, I31)."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.conversations.domain.writing import Mark
from services.conversations.storage.unit_of_work import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkConversationRead:
    caller: Caller
    conversation_id: UUID
    up_to_sequence: int


async def mark_conversation_read(command: MarkConversationRead, *, storage: Storage) -> int:
    """Move the caller's read mark forward, never back; the unread number that remains."""
    return await storage.mark(
        Mark(
            caller=command.caller,
            conversation_id=command.conversation_id,
            up_to_sequence=command.up_to_sequence,
        )
    )
