"""Support knows that an address works again: it is mailed from the next message on."""

from dataclasses import dataclass, replace
from uuid import UUID

from services.chassis.identity import Caller
from services.notifications.domain.suppression import Suppression
from services.notifications.storage.unit_of_work import Transaction
from services.notifications.usecases.access import access_suppression


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftSuppression:
    caller: Caller
    suppression_id: UUID
    request_id: UUID


async def lift_suppression(tx: Transaction, command: LiftSuppression) -> Suppression:
    """One that was lifted before stays as it is. Raises SuppressionNotFound."""
    suppression = await access_suppression(tx, command.suppression_id)
    await tx.earlier_result(
        command.caller,
        command.request_id,
        method="LiftSuppression",
        content=str(suppression.id),
        result_id=suppression.id,
    )
    if suppression.lifted_at is not None:
        return suppression
    await tx.suppressions.lift(suppression.id, now=tx.now)
    await tx.note(command.caller, "lift_suppression", "suppression", suppression.id)
    return replace(suppression, lifted_at=tx.now)
