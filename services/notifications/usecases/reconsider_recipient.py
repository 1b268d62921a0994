"""The directory has said something new of people: what was decided before is looked at again.

A staff member's session turns out to have ended before a message, or expires without a logout:
what was not mailed for its sake is mailed then, all of it in one mail (I19). A held mail that the
rules no longer want is called off at once, so that a flag turned off again sends nothing late
(I10, I14).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.ids import uuid7
from services.notifications.domain.delivery import (
    Channel,
    Delivery,
    Dispatch,
    Recipient,
    Whom,
    hold,
    settle,
)
from services.notifications.domain.rules import decide
from services.notifications.storage.ledger import Burst
from services.notifications.storage.messages import Told
from services.notifications.storage.people import Circumstances
from services.notifications.storage.unit_of_work import Batch
from services.notifications.usecases.wanted import drop_unwanted


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconsiderRecipient:
    clinic_id: UUID
    recipient: Recipient

    @property
    def whom(self) -> Whom:
        return Whom(self.clinic_id, self.recipient)


async def reconsider_recipients(tx: Batch, commands: Sequence[ReconsiderRecipient]) -> list[None]:
    people = {command.whom for command in commands}
    await tx.ledger.lock(people)
    await drop_unwanted(tx, await tx.ledger.held_for(people))
    since = await tx.people.derive_ended_sessions(people)
    await _mail_after_all(tx, await tx.ledger.signed_in_since(since))
    return [None] * len(commands)


async def _mail_after_all(tx: Batch, deliveries: Sequence[Delivery]) -> None:
    """Decide anew what a session had kept from being mailed."""
    if not deliveries:
        return
    circumstances = await tx.people.circumstances(
        (delivery.whom, delivery.message.sent_at) for delivery in deliveries
    )
    withdrawn = await tx.messages.withdrawn(
        Told(each.clinic_id, each.recipient.side, each.message) for each in deliveries
    )
    wanted: dict[Whom, list[Delivery]] = {}
    others = []
    for delivery in deliveries:
        state, reason = decide(
            circumstances[delivery.whom].person,
            delivery.message.sent_at,
            withdrawn=withdrawn.get((delivery.clinic_id, delivery.message.id)),
        )
        if reason is None:
            wanted.setdefault(delivery.whom, []).append(delivery)
        elif reason is not delivery.reason:
            others.append(settle(delivery, state, reason))
    for whom, of_person in wanted.items():
        others += await _in_one_mail(tx, of_person, circumstances[whom])
    await tx.save(others)


async def _in_one_mail(
    tx: Batch, deliveries: Sequence[Delivery], circumstances: Circumstances
) -> list[Delivery]:
    """One dispatch for all of them, but for threads whose mail waits already."""
    latest = max(delivery.message.sent_at for delivery in deliveries)
    together = Dispatch(uuid7(), latest + circumstances.mail_hold)
    waiting = await tx.ledger.open_dispatches({_burst(delivery) for delivery in deliveries})
    return [
        hold(delivery, waiting.get(_burst(delivery), together), now=tx.now)
        for delivery in deliveries
    ]


def _burst(delivery: Delivery) -> Burst:
    return Burst(delivery.whom, delivery.message.conversation_id, Channel.EMAIL)
