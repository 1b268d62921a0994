"""The rules once more, before a mail or push goes on its way (R26, I10, I14)."""

from collections.abc import Sequence

from services.notifications.domain.delivery import Delivery, withdraw
from services.notifications.domain.rules import why_not_tell
from services.notifications.storage.unit_of_work import Batch


async def drop_unwanted(tx: Batch, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Those that the rules still want; the others are withdrawn. Needs the recipients' locks."""
    if not deliveries:
        return []
    circumstances = await tx.people.circumstances(
        (delivery.whom, delivery.message.sent_at) for delivery in deliveries
    )
    wanted, withdrawn = [], []
    for delivery in deliveries:
        person = circumstances[delivery.whom].person
        reason = why_not_tell(person, delivery.message.sent_at)
        if reason is None:
            wanted.append(delivery)
        else:
            withdrawn.append(withdraw(delivery, reason))
    await tx.save(withdrawn)
    return wanted
