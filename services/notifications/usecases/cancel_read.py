"""A side has read its thread up to a message: it need not be told of those any more."""

from dataclasses import dataclass
from uuid import UUID

from services.notifications.domain.delivery import Reason, Recipient, withdraw
from services.notifications.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRead:
    clinic_id: UUID
    event_id: UUID
    conversation_id: UUID
    reader: Recipient
    up_to_sequence: int


async def cancel_read(tx: Transaction, command: CancelRead) -> None:
    if not await tx.is_first(command.event_id):
        return
    reader, up_to = command.reader, command.up_to_sequence
    await tx.lock(reader)
    await tx.messages.mark_read(command.conversation_id, reader.side, up_to_sequence=up_to)
    waiting = await tx.deliveries.waiting_of_thread(
        reader, command.conversation_id, up_to_sequence=up_to
    )
    await tx.save([withdraw(delivery, Reason.READ) for delivery in waiting])
