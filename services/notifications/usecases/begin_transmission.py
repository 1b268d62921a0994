"""The last look before a mail leaves, committed before the provider gets its first byte."""

from dataclasses import dataclass
from uuid import UUID

from services.notifications.domain.delivery import State, transmit
from services.notifications.domain.mail import Contents
from services.notifications.storage.unit_of_work import Transaction
from services.notifications.usecases.claim_dispatch import Claim
from services.notifications.usecases.wanted import drop_unwanted


@dataclass(frozen=True, slots=True)
class BeginTransmission:
    claim: Claim

    @property
    def clinic_id(self) -> UUID:
        return self.claim.clinic_id


async def begin_transmission(tx: Transaction, command: BeginTransmission) -> Contents | None:
    """What the mail says now; None where nothing is left to tell, or the claim is no longer ours.

    Counts what is still live: a message deleted or read since is not in it (I16).
    """
    claim = command.claim
    await tx.lock(claim.recipient)
    ours = [
        delivery
        for delivery in await tx.deliveries.of_dispatch(claim.dispatch_id)
        if delivery.claim_id == claim.id and delivery.state is State.CLAIMED
    ]
    wanted = await drop_unwanted(tx, claim.recipient, ours)
    if not wanted:
        return None
    await tx.save([transmit(delivery, now=tx.now) for delivery in wanted])
    threads = {delivery.message.conversation_id for delivery in wanted}
    return Contents(
        dispatch_id=claim.dispatch_id,
        clinic_id=tx.clinic_id,
        recipient=claim.recipient,
        count=len(wanted),
        conversation_id=threads.pop() if len(threads) == 1 else None,
        latest_at=max(delivery.message.sent_at for delivery in wanted),
    )
