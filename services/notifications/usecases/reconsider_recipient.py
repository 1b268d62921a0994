"""The directory has said something new of a person: what was decided before is looked at again.

A staff member's session turns out to have ended before a message, or expires without a logout:
what was not mailed for its sake is mailed then, all of it in one mail (I19). A held mail that the
rules no longer want is called off at once, so that a flag turned off again sends nothing late
(I10, I14).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis.ids import uuid7
from services.messaging_rule import Side
from services.notifications.domain.delivery import (
    Channel,
    Delivery,
    Dispatch,
    Recipient,
    hold,
    settle,
)
from services.notifications.domain.rules import decide
from services.notifications.storage.people import Circumstances
from services.notifications.storage.unit_of_work import Transaction
from services.notifications.usecases.wanted import drop_unwanted


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconsiderRecipient:
    clinic_id: UUID
    recipient: Recipient


async def reconsider_recipient(tx: Transaction, command: ReconsiderRecipient) -> None:
    recipient = command.recipient
    await tx.lock(recipient)
    await drop_unwanted(tx, recipient, await tx.deliveries.held_for(recipient))
    if recipient.side is Side.STAFF:
        since = await tx.people.derive_ended_sessions(recipient.id)
        if since is not None:
            await _mail_after_all(tx, recipient, since)


async def _mail_after_all(tx: Transaction, recipient: Recipient, since: datetime) -> None:
    """Decide anew what a session had kept from being mailed."""
    deliveries = await tx.deliveries.signed_in_since(recipient, since)
    if not deliveries:
        return
    messages = [delivery.message for delivery in deliveries]
    times = [message.sent_at for message in messages]
    circumstances = await tx.people.circumstances(recipient, times)
    withdrawn = await tx.messages.withdrawn(recipient.side, messages)
    wanted, others = [], []
    for delivery in deliveries:
        state, reason = decide(
            circumstances.person,
            delivery.message.sent_at,
            withdrawn=withdrawn.get(delivery.message.id),
        )
        if reason is None:
            wanted.append(delivery)
        elif reason is not delivery.reason:
            others.append(settle(delivery, state, reason))
    held = await _in_one_mail(tx, recipient, wanted, circumstances)
    await tx.save([*held, *others])


async def _in_one_mail(
    tx: Transaction,
    recipient: Recipient,
    deliveries: Sequence[Delivery],
    circumstances: Circumstances,
) -> list[Delivery]:
    """One dispatch for all of them, but for threads whose mail waits already."""
    if not deliveries:
        return []
    latest = max(delivery.message.sent_at for delivery in deliveries)
    together = Dispatch(uuid7(), latest + circumstances.mail_hold)
    held = []
    for delivery in deliveries:
        open_dispatch = await tx.deliveries.open_dispatch(
            recipient, delivery.message.conversation_id, Channel.EMAIL
        )
        held.append(hold(delivery, open_dispatch or together, now=tx.now))
    return held
