"""The rules once more, before a mail or push goes on its way (R26, I10, I14)."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.notifications.domain.delivery import Delivery, Reason, withdraw
from services.notifications.domain.rules import why_not_tell
from services.notifications.storage.messages import Told
from services.notifications.storage.unit_of_work import Batch


async def drop_unwanted(tx: Batch, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Those that the rules still want; the others are withdrawn. Needs the recipients' locks."""
    if not deliveries:
        return []
    circumstances = await tx.people.circumstances(
        (delivery.whom, delivery.message.sent_at) for delivery in deliveries
    )
    past = await _read_or_deleted(tx, deliveries)
    wanted, withdrawn = [], []
    for delivery in deliveries:
        person = circumstances[delivery.whom].person
        reason = why_not_tell(person, delivery.message.sent_at)
        reason = reason or past.get((delivery.clinic_id, delivery.message.id))
        if reason is None:
            wanted.append(delivery)
        else:
            withdrawn.append(withdraw(delivery, reason))
    await tx.save(withdrawn)
    return wanted


async def _read_or_deleted(
    tx: Batch, deliveries: Sequence[Delivery]
) -> Mapping[tuple[UUID, UUID], Reason]:
    """While a first try was under way; before it, the facts themselves called it off."""
    return await tx.messages.withdrawn(
        Told(delivery.clinic_id, delivery.recipient.side, delivery.message)
        for delivery in deliveries
        if delivery.attempts > 1
    )
