"""The last look before mails or pushes leave, committed before a provider gets its first byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.notifications.domain.delivery import Delivery, State, transmit
from services.notifications.domain.mail import Contents
from services.notifications.storage.unit_of_work import Batch
from services.notifications.usecases.claim_dispatch import Claim
from services.notifications.usecases.wanted import drop_unwanted


@dataclass(frozen=True, slots=True)
class BeginTransmission:
    claim: Claim

    @property
    def clinic_id(self) -> UUID:
        return self.claim.clinic_id


async def begin_transmissions(
    tx: Batch, commands: Sequence[BeginTransmission]
) -> list[Contents | None]:
    """What each says now; None where nothing is left to tell, or the claim is no longer ours.

    Counts what is still live: a message deleted or read since is not in it (I16).
    """
    ours = await held_by(tx, [command.claim for command in commands])
    ready = [
        delivery
        for deliveries in ours.values()
        for delivery in deliveries
        if delivery.state is State.CLAIMED
    ]
    wanted = await drop_unwanted(tx, ready)
    await tx.save([transmit(delivery, now=tx.now) for delivery in wanted])
    return [contents_of(command.claim, wanted) for command in commands]


async def held_by(tx: Batch, claims: Sequence[Claim]) -> dict[UUID, list[Delivery]]:
    """The deliveries that are still in the hands of each claim, under their recipients' locks."""
    await tx.ledger.lock(claim.whom for claim in claims)
    found = await tx.ledger.of_dispatches(
        {(claim.clinic_id, claim.dispatch_id) for claim in claims}
    )
    return {
        claim.id: [each for each in found[claim.dispatch_id] if each.claim_id == claim.id]
        for claim in claims
    }


def contents_of(claim: Claim, wanted: Sequence[Delivery]) -> Contents | None:
    """Of what is still wanted; None where none of it is in the claim's hands."""
    ours = [delivery for delivery in wanted if delivery.claim_id == claim.id]
    if not ours:
        return None
    threads = {delivery.message.conversation_id for delivery in ours}
    return Contents(
        dispatch_id=claim.dispatch_id,
        clinic_id=claim.clinic_id,
        recipient=claim.recipient,
        count=len(ours),
        conversation_id=threads.pop() if len(threads) == 1 else None,
        latest_at=max(delivery.message.sent_at for delivery in wanted),
    )
