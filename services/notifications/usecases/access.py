"""The only way from an id in a request to an object."""

from uuid import UUID

from services.notifications.domain.delivery import Delivery
from services.notifications.domain.device import Device
from services.notifications.domain.errors import (
    DeliveryNotFound,
    DeviceNotFound,
    SuppressionNotFound,
)
from services.notifications.domain.suppression import Suppression
from services.notifications.storage.unit_of_work import Transaction


async def access_delivery(tx: Transaction, delivery_id: UUID) -> Delivery:
    """The delivery. Raises DeliveryNotFound: absent and another clinic's look alike (R33)."""
    delivery = await tx.deliveries.get(delivery_id)
    if delivery is None:
        raise DeliveryNotFound("There is no such delivery")
    return delivery


async def access_suppression(tx: Transaction, suppression_id: UUID) -> Suppression:
    """The suppression, locked. Raises SuppressionNotFound, as for a delivery."""
    suppression = await tx.suppressions.get(suppression_id)
    if suppression is None:
        raise SuppressionNotFound("There is no such suppression")
    return suppression


async def access_device(tx: Transaction, profile_id: UUID, device_id: UUID) -> Device:
    """The profile's device. Raises DeviceNotFound: absent and somebody else's look alike."""
    device = await tx.devices.get(profile_id, device_id)
    if device is None:
        raise device_not_found()
    return device


def device_not_found() -> DeviceNotFound:
    return DeviceNotFound("There is no such device")
