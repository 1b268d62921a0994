"""Ids: UUIDv7 (RFC 9562, section 5.7), made by the application, sorted by time."""

import os
import time
from uuid import UUID

from services.chassis.errors import InvalidArgument


def uuid7() -> UUID:
    """48 bits of milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10))
    value = (milliseconds & (1 << 48) - 1) << 80 | noise
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def parse_id(text: str, *, field: str) -> UUID:
    """The UUID in a request's field.

    Raises InvalidArgument that names the field; only the canonical 36-character form is taken, so
    that one id has one spelling.
    """
    try:
        value = UUID(text)
    except ValueError:
        value = None
    if value is None or str(value) != text.lower():
        raise InvalidArgument(f"{field} must be a UUID in its 36-character form", field=field)
    return value
