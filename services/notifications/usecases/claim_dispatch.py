"""Taking a mail that is due into one worker's hands."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.ids import uuid7
from services.notifications.domain.delivery import Recipient, State, claim, is_claimable
from services.notifications.storage.unit_of_work import Transaction
from services.notifications.usecases.wanted import drop_unwanted


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimDispatch:
    clinic_id: UUID
    recipient: Recipient
    dispatch_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a worker holds until the lease is over. `suppressed` are prints of this recipient's
    addresses that do not work."""

    id: UUID
    clinic_id: UUID
    recipient: Recipient
    dispatch_id: UUID
    suppressed: frozenset[bytes]


async def claim_dispatch(tx: Transaction, command: ClaimDispatch) -> Claim | None:
    """None where another worker has it, or where nothing of it is wanted any more."""
    await tx.lock(command.recipient)
    due = [
        delivery
        for delivery in await tx.deliveries.of_dispatch(command.dispatch_id)
        if is_claimable(delivery, now=tx.now)
    ]
    wanted = await drop_unwanted(tx, command.recipient, due)
    claim_id = uuid7()
    claimed = [claim(delivery, claim_id, now=tx.now) for delivery in wanted]
    await tx.save(claimed)
    if not any(delivery.state is State.CLAIMED for delivery in claimed):
        return None
    return Claim(
        id=claim_id,
        clinic_id=command.clinic_id,
        recipient=command.recipient,
        dispatch_id=command.dispatch_id,
        suppressed=await tx.suppressions.of(command.recipient),
    )
