"""Events as NATS messages: the CloudEvents NATS binding, and what the inbox needs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from nats.aio.msg import Msg

from services.chassis.outbox import Event

# The line that opens a block of headers, and the empty one that closes it.
_FRAME_BYTES = len(b"NATS/1.0\r\n\r\n")
_LINE_BYTES = len(b": \r\n")


def to_headers(event: Event) -> dict[str, str]:
    return {
        "Nats-Msg-Id": str(event.event_id),
        "ce-id": str(event.event_id),
        "ce-type": event.type,
        "ce-kind": event.kind,
        "ce-source": event.source,
        "ce-time": event.occurred_at.isoformat(),
        "ce-clinic": str(event.clinic_id),
        "ce-aggregate": str(event.aggregate_id),
        "ce-position": str(event.position),
        "ce-incarnation": event.incarnation,
        "traceparent": event.trace,
    }


def size(headers: Mapping[str, str], payload: bytes) -> int:
    """The bytes that NATS counts against its largest message; our headers are ASCII."""
    lines = sum(len(name) + len(value) for name, value in headers.items())
    return _FRAME_BYTES + lines + _LINE_BYTES * len(headers) + len(payload)


def to_event(message: Msg) -> Event:
    """The event in a message; KeyError or ValueError where it is none of ours."""
    headers = message.headers or {}
    return Event(
        event_id=UUID(headers["ce-id"]),
        clinic_id=UUID(headers["ce-clinic"]),
        source=headers["ce-source"],
        kind=headers["ce-kind"],
        type=headers["ce-type"],
        aggregate_id=UUID(headers["ce-aggregate"]),
        position=int(headers["ce-position"]),
        incarnation=headers["ce-incarnation"],
        occurred_at=datetime.fromisoformat(headers["ce-time"]).astimezone(UTC),
        trace=headers.get("traceparent", ""),
        payload=message.data,
    )
