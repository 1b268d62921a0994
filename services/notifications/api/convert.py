"""Protobuf to commands, results to protobuf."""

from datetime import UTC, datetime
from uuid import UUID

from clinic.notifications.v1 import delivery_pb2, device_pb2, suppression_pb2
from clinic.notifications.v1 import notifications_internal_service_pb2 as internal_pb
from clinic.notifications.v1 import notifications_service_pb2 as pb
from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.chassis.ids import parse_id
from services.chassis.interceptors.status import FieldRequired
from services.chassis.paging import Cursor, page_size
from services.messaging_rule import Side
from services.notifications.domain.delivery import Delivery
from services.notifications.domain.device import Device, Platform
from services.notifications.domain.feedback import Feedback
from services.notifications.domain.suppression import Suppression
from services.notifications.storage.deliveries import Selection
from services.notifications.usecases.lift_suppression import LiftSuppression
from services.notifications.usecases.list_deliveries import ListDeliveries
from services.notifications.usecases.list_devices import ListDevices
from services.notifications.usecases.list_suppressions import ListSuppressions
from services.notifications.usecases.register_device import RegisterDevice
from services.notifications.usecases.retry_delivery import RetryDelivery
from services.notifications.usecases.send_code import SendCode
from services.notifications.usecases.take_feedback import RecordProviderFeedback
from services.notifications.usecases.unregister_device import UnregisterDevice

_FEEDBACK = {
    delivery_pb2.PROVIDER_STATE_DELIVERED: Feedback.DELIVERED,
    delivery_pb2.PROVIDER_STATE_BOUNCED: Feedback.BOUNCED,
    delivery_pb2.PROVIDER_STATE_BAD_RECIPIENT: Feedback.BAD_RECIPIENT,
    delivery_pb2.PROVIDER_STATE_COMPLAINT: Feedback.COMPLAINT,
}
DEVICES_QUERY = "devices"
_PLATFORMS = {
    device_pb2.PLATFORM_FCM: Platform.FCM,
    device_pb2.PLATFORM_APNS: Platform.APNS,
}
_SIDES = {
    Side.STAFF: delivery_pb2.RECIPIENT_SIDE_STAFF,
    Side.PROFILE: delivery_pb2.RECIPIENT_SIDE_PROFILE,
}


def to_list_devices(
    request: pb.ListDevicesRequest, caller: Caller, cursor: Cursor | None
) -> ListDevices:
    return ListDevices(
        caller=caller,
        page_size=page_size(request.page_size),
        after=None if cursor is None else _place(cursor),
    )


def to_register_device(request: pb.RegisterDeviceRequest, caller: Caller) -> RegisterDevice:
    platform = _PLATFORMS.get(request.platform)
    if platform is None:
        raise InvalidArgument("platform is none that is known", field="platform")
    return RegisterDevice(
        caller=caller,
        platform=platform,
        push_token=request.push_token,
        request_id=parse_id(request.request_id, field="request_id"),
    )


def to_unregister_device(request: pb.UnregisterDeviceRequest, caller: Caller) -> UnregisterDevice:
    return UnregisterDevice(
        caller=caller,
        device_id=parse_id(request.device_id, field="device_id"),
        request_id=parse_id(request.request_id, field="request_id"),
    )


def to_list_deliveries(
    request: internal_pb.ListDeliveriesRequest, caller: Caller, cursor: Cursor | None
) -> ListDeliveries:
    if not (request.conversation_id or request.recipient_id):
        raise FieldRequired(("conversation_id", "recipient_id"))
    if request.sequence < 0:
        raise InvalidArgument("sequence must not be negative", field="sequence")
    return ListDeliveries(
        caller=caller,
        selection=Selection(
            conversation_id=_optional_id(request.conversation_id, "conversation_id"),
            sequence=request.sequence or None,
            recipient_id=_optional_id(request.recipient_id, "recipient_id"),
        ),
        page_size=page_size(request.page_size),
        after=None if cursor is None else _place(cursor),
    )


def deliveries_query(request: internal_pb.ListDeliveriesRequest) -> str:
    """What a page token of the ledger is tied to."""
    return f"deliveries {request.conversation_id} {request.sequence} {request.recipient_id}"


def to_retry_delivery(request: internal_pb.RetryDeliveryRequest, caller: Caller) -> RetryDelivery:
    return RetryDelivery(
        caller=caller,
        delivery_id=parse_id(request.delivery_id, field="delivery_id"),
        may_arrive_twice=request.may_arrive_twice,
        request_id=parse_id(request.request_id, field="request_id"),
    )


def to_list_suppressions(
    request: internal_pb.ListSuppressionsRequest, caller: Caller, cursor: Cursor | None
) -> ListSuppressions:
    return ListSuppressions(
        caller=caller,
        recipient_id=_optional_id(request.recipient_id, "recipient_id"),
        include_lifted=request.include_lifted,
        page_size=page_size(request.page_size),
        after=None if cursor is None else _place(cursor),
    )


def suppressions_query(request: internal_pb.ListSuppressionsRequest) -> str:
    """What a page token of suppressions is tied to."""
    return f"suppressions {request.recipient_id} {request.include_lifted}"


def to_lift_suppression(
    request: internal_pb.LiftSuppressionRequest, caller: Caller
) -> LiftSuppression:
    return LiftSuppression(
        caller=caller,
        suppression_id=parse_id(request.suppression_id, field="suppression_id"),
        request_id=parse_id(request.request_id, field="request_id"),
    )


def to_send_code(request: internal_pb.SendCodeRequest, caller: Caller) -> SendCode:
    return SendCode(
        caller=caller,
        staff_id=parse_id(request.staff_id, field="staff_id"),
        code=request.code,
        request_id=parse_id(request.request_id, field="request_id"),
    )


def to_record_provider_feedback(
    request: internal_pb.RecordProviderFeedbackRequest, caller: Caller
) -> RecordProviderFeedback:
    feedback = _FEEDBACK.get(request.provider_state)
    if feedback is None:
        raise InvalidArgument(
            "provider_state is not what a provider reports", field="provider_state"
        )
    return RecordProviderFeedback(
        caller=caller,
        dispatch_id=parse_id(request.dispatch_id, field="dispatch_id"),
        feedback=feedback,
        request_id=parse_id(request.request_id, field="request_id"),
    )


def to_cursor(place: tuple[datetime, UUID]) -> Cursor:
    return place[0].isoformat(), str(place[1])


def _place(cursor: Cursor) -> tuple[datetime, UUID]:
    at, id = cursor
    return datetime.fromisoformat(str(at)).astimezone(UTC), UUID(str(id))


def _optional_id(text: str, field: str) -> UUID | None:
    return parse_id(text, field=field) if text else None


def from_delivery(delivery: Delivery) -> delivery_pb2.Delivery:
    message = delivery.message
    return delivery_pb2.Delivery(
        delivery_id=str(delivery.id),
        message_id=str(message.id),
        conversation_id=str(message.conversation_id),
        sequence=message.sequence,
        recipient_side=_SIDES[delivery.recipient.side],
        recipient_id=str(delivery.recipient.id),
        channel=f"CHANNEL_{delivery.channel}",
        state=f"DELIVERY_STATE_{delivery.state}",
        reason=f"DELIVERY_REASON_{delivery.reason or 'UNSPECIFIED'}",
        decide_time=delivery.decided_at,
        due_time=delivery.due_at,
        send_time=delivery.sent_at,
        dispatch_id="" if delivery.dispatch_id is None else str(delivery.dispatch_id),
        attempts=delivery.attempts,
        provider_state=f"PROVIDER_STATE_{delivery.provider_state or 'UNSPECIFIED'}",
    )


def from_suppression(suppression: Suppression) -> suppression_pb2.Suppression:
    return suppression_pb2.Suppression(
        suppression_id=str(suppression.id),
        recipient_side=_SIDES[suppression.recipient.side],
        recipient_id=str(suppression.recipient.id),
        reason=f"SUPPRESSION_REASON_{suppression.reason}",
        create_time=suppression.created_at,
        lift_time=suppression.lifted_at,
    )


def from_device(device: Device) -> device_pb2.Device:
    return device_pb2.Device(
        device_id=str(device.id),
        platform=f"PLATFORM_{device.platform}",
        register_time=device.registered_at,
    )
