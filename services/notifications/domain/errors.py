"""Every refusal of this service; each reason stands in `error_reason.proto`."""

from services.chassis.errors import FailedPrecondition, NotFound


class DeliveryNotFound(NotFound):
    reason = "DELIVERY_NOT_FOUND"


class SuppressionNotFound(NotFound):
    reason = "SUPPRESSION_NOT_FOUND"


class DispatchNotFound(NotFound):
    reason = "DISPATCH_NOT_FOUND"


class StaffAddressNotFound(NotFound):
    reason = "STAFF_ADDRESS_NOT_FOUND"


class DeliveryNotRetryable(FailedPrecondition):
    reason = "DELIVERY_NOT_RETRYABLE"


class DeliveryMayHaveArrived(FailedPrecondition):
    reason = "DELIVERY_MAY_HAVE_ARRIVED"


class AddressSuppressed(FailedPrecondition):
    reason = "ADDRESS_SUPPRESSED"


class DeliveryNotWanted(FailedPrecondition):
    reason = "DELIVERY_NOT_WANTED"


class DeviceNotFound(NotFound):
    reason = "DEVICE_NOT_FOUND"


class PushPlatformOff(FailedPrecondition):
    reason = "PUSH_PLATFORM_OFF"
