"""Events and times between protobuf and Python, the same at every door."""

from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from clinic.operations.v1 import operations_service_pb2 as pb
from services.chassis.errors import InvalidArgument
from services.chassis.outbox import Event

# What reading bytes that break their contract raises: no such message, a bad id, a time that is
# beyond Python's.
UNREADABLE = (DecodeError, ValueError, OverflowError)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS = {"state": pb.EVENT_KIND_STATE, "fact": pb.EVENT_KIND_FACT}
_NAMES = {number: name for name, number in _KINDS.items()}


def from_time(moment: datetime | None) -> Timestamp | None:
    """As protobuf itself would, at a third of the cost; a page has hundreds of times."""
    if moment is None:
        return None
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def to_time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def to_moment(stamp: Timestamp, *, field: str) -> datetime:
    """A time of a request. Raises InvalidArgument for one that is beyond Python's."""
    try:
        return to_time(stamp)
    except (ValueError, OverflowError):
        raise InvalidArgument(f"{field} is not a valid time", field=field) from None


def to_optional_time(stamp: Timestamp) -> datetime | None:
    """None for the zero time, which is what an absent field reads as."""
    return to_time(stamp) if stamp.seconds or stamp.nanos else None


def to_optional_id(text: str) -> UUID | None:
    """None for the empty string, which is how an absent id is written."""
    return UUID(text) if text else None


def from_event(event: Event) -> pb.Event:
    return pb.Event(
        event_id=str(event.event_id),
        clinic_id=str(event.clinic_id),
        kind=_KINDS.get(event.kind, pb.EVENT_KIND_UNSPECIFIED),
        type=event.type,
        aggregate_id=str(event.aggregate_id),
        position=event.position,
        incarnation=event.incarnation,
        occur_time=event.occurred_at,
        trace=event.trace,
        payload=event.payload,
    )


def to_event(event: pb.Event, source: str) -> Event:
    return Event(
        event_id=UUID(event.event_id),
        clinic_id=UUID(event.clinic_id),
        source=source,
        kind=_NAMES.get(event.kind, "unknown"),
        type=event.type,
        aggregate_id=UUID(event.aggregate_id),
        position=event.position,
        incarnation=event.incarnation,
        occurred_at=to_time(event.occur_time),
        trace=event.trace,
        payload=event.payload,
    )
