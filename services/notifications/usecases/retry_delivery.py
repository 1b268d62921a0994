"""Support tries once more to tell somebody of a message; the rules have the last word."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.chassis.ids import uuid7
from services.notifications.domain.delivery import Delivery, Dispatch, Reason
from services.notifications.domain.retry import refusal_of_rules, refusal_to_retry, retried
from services.notifications.domain.rules import why_not_tell
from services.notifications.storage.messages import Told
from services.notifications.storage.unit_of_work import Transaction
from services.notifications.usecases.access import access_delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDelivery:
    caller: Caller
    delivery_id: UUID
    may_arrive_twice: bool
    request_id: UUID


async def retry_delivery(tx: Transaction, command: RetryDelivery) -> Delivery:
    """Held again, as a dispatch of its own that is due at once. A repeat changes nothing."""
    await tx.lock((await access_delivery(tx, command.delivery_id)).recipient)
    delivery = await access_delivery(tx, command.delivery_id)
    earlier = await tx.earlier_result(
        command.caller,
        command.request_id,
        method="RetryDelivery",
        content=f"{delivery.id} {command.may_arrive_twice}",
        result_id=delivery.id,
    )
    if earlier is not None:
        return delivery
    refusal = refusal_to_retry(
        delivery,
        suppressed=await tx.suppressions.of(delivery.recipient),
        may_arrive_twice=command.may_arrive_twice,
    ) or refusal_of_rules(await _why_not(tx, delivery))
    if refusal is not None:
        raise refusal
    held = retried(delivery, Dispatch(uuid7(), tx.now), now=tx.now)
    await tx.save([held])
    await tx.note(command.caller, "retry_delivery", "delivery", held.id)
    return held


async def _why_not(tx: Transaction, delivery: Delivery) -> Reason | None:
    message, whom = delivery.message, delivery.whom
    circumstances = await tx.batch.people.circumstances([(whom, message.sent_at)])
    why = why_not_tell(circumstances[whom].person, message.sent_at)
    if why is not None:
        return why
    told = Told(tx.clinic_id, delivery.recipient.side, message)
    return (await tx.batch.messages.withdrawn([told])).get((tx.clinic_id, message.id))
