"""What a provider reports of a dispatch after it took it: by a caller, or by a mail that came back.

Reports may come twice and in any order: the gravest stands, and only what it adds has an effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from services.chassis.identity import Caller
from services.notifications.domain.delivery import Delivery
from services.notifications.domain.errors import DispatchNotFound
from services.notifications.domain.feedback import Feedback, is_graver
from services.notifications.domain.suppression import SUPPRESSED_BY
from services.notifications.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordProviderFeedback:
    caller: Caller
    dispatch_id: UUID
    feedback: Feedback
    request_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBounce:
    """A mail of this dispatch came back."""

    clinic_id: UUID
    dispatch_id: UUID
    feedback: Feedback


async def record_provider_feedback(
    tx: Transaction, command: RecordProviderFeedback
) -> Sequence[Delivery]:
    """The dispatch's deliveries as they now are. Raises DispatchNotFound."""
    deliveries = await _handed_over(tx, command.dispatch_id)
    earlier = await tx.earlier_result(
        command.caller,
        command.request_id,
        method="RecordProviderFeedback",
        content=f"{command.dispatch_id} {command.feedback}",
        result_id=command.dispatch_id,
    )
    if earlier is not None:
        return deliveries
    await tx.note(command.caller, "record_provider_feedback", "dispatch", command.dispatch_id)
    return await _taken(tx, deliveries, command.feedback)


async def take_bounce(tx: Transaction, command: TakeBounce) -> None:
    """Raises DispatchNotFound."""
    deliveries = await _handed_over(tx, command.dispatch_id)
    await _taken(tx, deliveries, command.feedback)


async def _handed_over(tx: Transaction, dispatch_id: UUID) -> Sequence[Delivery]:
    """What the provider has of it, under its recipient's lock."""
    found = await tx.deliveries.handed_over(dispatch_id)
    if not found:
        raise DispatchNotFound("No provider has been handed such a dispatch")
    await tx.lock(found[0].recipient)
    return await tx.deliveries.handed_over(dispatch_id)


async def _taken(
    tx: Transaction, deliveries: Sequence[Delivery], feedback: Feedback
) -> Sequence[Delivery]:
    changed = {
        delivery.id: replace(delivery, feedback=feedback, version=delivery.version + 1)
        for delivery in deliveries
        if is_graver(feedback, delivery.feedback)
    }
    await tx.save(list(changed.values()))
    if (reason := SUPPRESSED_BY.get(feedback)) is not None:
        for delivery in changed.values():
            if delivery.address_print is not None:
                await tx.suppressions.add(
                    delivery.recipient, delivery.address_print, reason=reason, now=tx.now
                )
    return [changed.get(delivery.id, delivery) for delivery in deliveries]
