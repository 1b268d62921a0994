"""Protobuf to commands, results to protobuf."""

from datetime import UTC, datetime
from uuid import UUID

from clinic.notifications.v1 import delivery_pb2, device_pb2
from clinic.notifications.v1 import notifications_internal_service_pb2 as internal_pb
from clinic.notifications.v1 import notifications_service_pb2 as pb
from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.chassis.ids import parse_id
from services.chassis.interceptors.status import FieldRequired
from services.chassis.paging import Cursor, page_size
from services.messaging_rule import Side
from services.notifications.domain.delivery import Delivery
from services.notifications.domain.device import Device
from services.notifications.storage.deliveries import Selection
from services.notifications.usecases.list_deliveries import ListDeliveries
from services.notifications.usecases.list_devices import ListDevices

DEVICES_QUERY = "devices"
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
    )


def from_device(device: Device) -> device_pb2.Device:
    return device_pb2.Device(
        device_id=str(device.id),
        platform=f"PLATFORM_{device.platform}",
        register_time=device.registered_at,
    )
