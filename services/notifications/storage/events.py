"""What notifications publishes, as bytes: ids, enums and times only."""

from datetime import datetime

from clinic.notifications.v1 import notifications_events_pb2 as events
from services.chassis.outbox import NewEvent
from services.messaging_rule import Side
from services.notifications.domain.delivery import Delivery


def delivery_updated(delivery: Delivery, now: datetime, *, trace: str = "") -> NewEvent:
    """The state that a delivery has come to; its last, as far as one can tell."""
    recipient = delivery.recipient
    payload = events.DeliveryUpdated(
        clinic_id=str(delivery.clinic_id),
        delivery_id=str(delivery.id),
        message_id=str(delivery.message.id),
        conversation_id=str(delivery.message.conversation_id),
        recipient_id=str(recipient.id),
        channel=f"CHANNEL_{delivery.channel}",
        state=f"DELIVERY_STATE_{delivery.state}",
        reason=f"DELIVERY_REASON_{delivery.reason or 'UNSPECIFIED'}",
        update_time=now,
        provider_state=f"PROVIDER_STATE_{delivery.provider_state or 'UNSPECIFIED'}",
    )
    return NewEvent(
        clinic_id=delivery.clinic_id,
        kind="fact",
        type="delivery_updated",
        aggregate_type="delivery",
        aggregate_id=delivery.id,
        aggregate_version=delivery.version,
        payload=payload.SerializeToString(),
        staff_id=recipient.id if recipient.side is Side.STAFF else None,
        profile_id=recipient.id if recipient.side is Side.PROFILE else None,
        trace=trace,
    )
