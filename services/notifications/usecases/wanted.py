"""The rules once more, before a mail goes on its way (R26, I10, I14)."""

from collections.abc import Sequence

from services.notifications.domain.delivery import Delivery, Recipient, withdraw
from services.notifications.domain.rules import why_not_mail
from services.notifications.storage.unit_of_work import Transaction


async def drop_unwanted(
    tx: Transaction, recipient: Recipient, deliveries: Sequence[Delivery]
) -> list[Delivery]:
    """Those that the rules still want; the others are withdrawn. Needs the recipient's lock."""
    if not deliveries:
        return []
    times = [delivery.message.sent_at for delivery in deliveries]
    person = (await tx.people.circumstances(recipient, times)).person
    wanted, withdrawn = [], []
    for delivery in deliveries:
        reason = why_not_mail(person, delivery.message.sent_at)
        if reason is None:
            wanted.append(delivery)
        else:
            withdrawn.append(withdraw(delivery, reason))
    await tx.save(withdrawn)
    return wanted
