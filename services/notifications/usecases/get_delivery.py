"""One row of the ledger."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.notifications.domain.delivery import Delivery
from services.notifications.domain.errors import DeliveryNotFound
from services.notifications.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class GetDelivery:
    caller: Caller
    delivery_id: UUID


async def get_delivery(tx: Transaction, command: GetDelivery) -> Delivery:
    delivery = await tx.deliveries.get(command.delivery_id)
    if delivery is None:
        raise DeliveryNotFound("There is no such delivery")
    return delivery
