"""Fields of a request in our types; what cannot be read is refused by the field's name."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from services.chassis.errors import InvalidArgument
from services.chassis.ids import parse_id

E = TypeVar("E")


def request_id_of(text: str) -> UUID:
    return parse_id(text, field="request_id")


def paths_of(mask: FieldMask, *, allowed: Collection[str]) -> frozenset[str]:
    """What a mask names: at least one path, and none that cannot be changed."""
    paths = frozenset(mask.paths)
    if not paths or not paths <= frozenset(allowed):
        raise InvalidArgument(
            f"update_mask names one or more of {', '.join(sorted(allowed))}", field="update_mask"
        )
    return paths


def member_of(members: Mapping[E, int], number: int, *, field: str) -> E:
    """The enum member behind a number; neither UNSPECIFIED nor a number of a later release."""
    for member, known in members.items():
        if known == number and number != 0:
            return member
    raise InvalidArgument(f"{field} is not a known value", field=field)


def to_timedelta(duration: Duration, *, field: str) -> timedelta:
    try:
        return duration.ToTimedelta()
    except (ValueError, OverflowError):
        raise InvalidArgument(f"{field} is not a valid duration", field=field) from None
