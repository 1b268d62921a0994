"""One row of the ledger."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.notifications.domain.delivery import Delivery
from services.notifications.storage.unit_of_work import Transaction
from services.notifications.usecases.access import access_delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class GetDelivery:
    caller: Caller
    delivery_id: UUID


async def get_delivery(tx: Transaction, command: GetDelivery) -> Delivery:
    return await access_delivery(tx, command.delivery_id)
