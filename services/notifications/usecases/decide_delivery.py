"""A message was sent: is its recipient to be told by mail (R14, R24, R37, R40, I13, I21)?"""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.ids import uuid7
from services.notifications.domain.delivery import Channel, Delivery, Dispatch, Recipient, State
from services.notifications.domain.message import Message
from services.notifications.domain.rules import decide
from services.notifications.storage.people import Circumstances
from services.notifications.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideDelivery:
    clinic_id: UUID
    event_id: UUID
    message: Message
    recipient: Recipient


async def decide_delivery(tx: Transaction, command: DecideDelivery) -> None:
    """Write the row of this message and recipient, once; settled or held until it is due."""
    if not await tx.is_first(command.event_id):
        return
    message, recipient = command.message, command.recipient
    await tx.lock(recipient)
    circumstances = await tx.people.circumstances(recipient, [message.sent_at])
    withdrawn = await tx.messages.withdrawn(recipient.side, [message])
    state, reason = decide(
        circumstances.person, message.sent_at, withdrawn=withdrawn.get(message.id)
    )
    dispatch = None
    if state is State.HELD:
        dispatch = await _dispatch_of(tx, message, recipient, circumstances)
    await tx.add(
        Delivery(
            id=uuid7(),
            clinic_id=tx.clinic_id,
            message=message,
            recipient=recipient,
            channel=Channel.EMAIL,
            state=state,
            reason=reason,
            decided_at=tx.now,
            due_at=dispatch.due_at if dispatch else None,
            dispatch_id=dispatch.id if dispatch else None,
        )
    )


async def _dispatch_of(
    tx: Transaction, message: Message, recipient: Recipient, circumstances: Circumstances
) -> Dispatch:
    """The mail that waits for this thread already, or a new one after the clinic's hold (I42)."""
    open_dispatch = await tx.deliveries.open_dispatch(
        recipient, message.conversation_id, Channel.EMAIL
    )
    return open_dispatch or Dispatch(uuid7(), message.sent_at + circumstances.mail_hold)
