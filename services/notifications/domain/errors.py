"""Every refusal of this service; each reason stands in `error_reason.proto`."""

from services.chassis.errors import NotFound


class DeliveryNotFound(NotFound):
    reason = "DELIVERY_NOT_FOUND"
