"""Taking mails or pushes that are due into one worker's hands."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.ids import uuid7
from services.notifications.domain.delivery import (
    Delivery,
    Recipient,
    State,
    Whom,
    claim,
    is_claimable,
)
from services.notifications.storage.unit_of_work import Batch
from services.notifications.usecases.wanted import drop_unwanted


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimDispatch:
    clinic_id: UUID
    recipient: Recipient
    dispatch_id: UUID

    @property
    def whom(self) -> Whom:
        return Whom(self.clinic_id, self.recipient)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a worker holds until the lease is over. `suppressed` are prints of this recipient's
    addresses that do not work."""

    id: UUID
    clinic_id: UUID
    recipient: Recipient
    dispatch_id: UUID
    suppressed: frozenset[bytes]

    @property
    def whom(self) -> Whom:
        return Whom(self.clinic_id, self.recipient)


async def claim_dispatches(tx: Batch, commands: Sequence[ClaimDispatch]) -> list[Claim | None]:
    """For each its claim; None where another worker has it, or where nothing of it is wanted."""
    await tx.ledger.lock(command.whom for command in commands)
    found = await tx.ledger.of_dispatches(
        {(command.clinic_id, command.dispatch_id) for command in commands}
    )
    due = [
        delivery
        for deliveries in found.values()
        for delivery in deliveries
        if is_claimable(delivery, now=tx.now)
    ]
    ids = {dispatch_id: uuid7() for dispatch_id in found}
    claimed = [
        claim(delivery, ids[_dispatch_of(delivery)], now=tx.now)
        for delivery in await drop_unwanted(tx, due)
    ]
    await tx.save(claimed)
    taken = {_dispatch_of(each) for each in claimed if each.state is State.CLAIMED}
    return await _claims(tx, commands, {id: ids[id] for id in taken})


async def _claims(
    tx: Batch, commands: Sequence[ClaimDispatch], ids: dict[UUID, UUID]
) -> list[Claim | None]:
    suppressed = await tx.ledger.suppressed({command.whom for command in commands})
    return [
        Claim(
            # Only the first of two for the same dispatch has it.
            id=claim_id,
            clinic_id=command.clinic_id,
            recipient=command.recipient,
            dispatch_id=command.dispatch_id,
            suppressed=suppressed[command.whom],
        )
        if (claim_id := ids.pop(command.dispatch_id, None)) is not None
        else None
        for command in commands
    ]


def _dispatch_of(delivery: Delivery) -> UUID:
    assert delivery.dispatch_id is not None
    return delivery.dispatch_id
