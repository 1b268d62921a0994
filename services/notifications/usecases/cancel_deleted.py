"""A message was deleted: nobody is told of it any more (I16). It may not have been heard of yet."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.notifications.domain.delivery import Reason, Recipient, withdraw
from services.notifications.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelDeleted:
    clinic_id: UUID
    event_id: UUID
    message_id: UUID
    recipient: Recipient
    deleted_at: datetime


async def cancel_deleted(tx: Transaction, command: CancelDeleted) -> None:
    if not await tx.is_first(command.event_id):
        return
    await tx.lock(command.recipient)
    await tx.messages.mark_deleted(command.message_id, at=command.deleted_at)
    waiting = await tx.deliveries.waiting_of_message(command.recipient, command.message_id)
    await tx.save([withdraw(delivery, Reason.DELETED) for delivery in waiting])
