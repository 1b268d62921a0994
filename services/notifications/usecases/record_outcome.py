"""What the provider said, written down."""

from dataclasses import dataclass
from uuid import UUID

from services.notifications.domain.delivery import Outcome, Reason, conclude
from services.notifications.storage.unit_of_work import Transaction
from services.notifications.usecases.claim_dispatch import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOutcome:
    claim: Claim
    outcome: Outcome
    address_print: bytes | None

    @property
    def clinic_id(self) -> UUID:
        return self.claim.clinic_id


async def record_outcome(tx: Transaction, command: RecordOutcome) -> None:
    """Settle what the claim still holds, or put it back; an address refused is remembered (I40)."""
    claim = command.claim
    await tx.lock(claim.recipient)
    ours = [
        delivery
        for delivery in await tx.deliveries.of_dispatch(claim.dispatch_id)
        if delivery.claim_id == claim.id
    ]
    tries = max((delivery.attempts for delivery in ours), default=0)
    await tx.save(
        [conclude(delivery, command.outcome, tries=tries, now=tx.now) for delivery in ours]
    )
    if command.outcome is Outcome.ADDRESS_REFUSED and command.address_print is not None:
        await tx.suppressions.add(
            claim.recipient, command.address_print, reason=Reason.REJECTED, now=tx.now
        )
