"""Reading: the only thing that moves a receipt (R20 to R22, I31)."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.conversations.domain.writing import Mark
from services.conversations.usecases.confirm import confirmed
from services.conversations.usecases.write_batch import WriteBatcher
from services.directory_replica.replica import Replica


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkConversationRead:
    caller: Caller
    conversation_id: UUID
    up_to_sequence: int


async def mark_conversation_read(
    command: MarkConversationRead, *, batcher: WriteBatcher, replica: Replica
) -> int:
    """Move the caller's read mark forward, never back; the unread number that remains."""
    mark = Mark(
        caller=command.caller,
        conversation_id=command.conversation_id,
        up_to_sequence=command.up_to_sequence,
    )
    unread = await confirmed(command.caller, lambda: batcher.submit(mark), replica)
    assert isinstance(unread, int)
    return unread
