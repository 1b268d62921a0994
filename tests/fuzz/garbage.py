"""Requests that nobody should send: broken bytes, and well-formed messages full of nonsense.

All of it follows from one random generator, so that a seed brings it back.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.limits import REQUEST_BYTES

# In every text that is not an id, so that a text told back is noticed.
ECHO = "echoword"

Breaker = Callable[[Random, bytes], bytes]


# Bytes.


def random_bytes(random: Random, valid: bytes) -> bytes:
    return random.randbytes(random.choice((1, 2, 7, 64, 300, 5_000)))


def flipped(random: Random, valid: bytes) -> bytes:
    data = bytearray(valid or b"\x0a\x01a")
    for _ in range(random.randint(1, 4)):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def truncated(random: Random, valid: bytes) -> bytes:
    return valid[: random.randrange(len(valid))] if valid else b"\x0a"


def doubled(random: Random, valid: bytes) -> bytes:
    return valid * random.randint(2, 5)


def shuffled(random: Random, valid: bytes) -> bytes:
    at = random.randrange(len(valid) + 1)
    return valid[at:] + valid[:at]


def deep_groups(random: Random, valid: bytes) -> bytes:
    """Groups in groups, which no field has; sometimes never closed."""
    depth = random.choice((10, 99, 101, 1_000, 20_000))
    field = random.randint(100, 1_000)
    opening, closing = _varint(field << 3 | 3), _varint(field << 3 | 4)
    return valid + opening * depth + closing * (depth if random.random() < 0.5 else 0)


def deep_messages(random: Random, valid: bytes) -> bytes:
    """A message in a message in a message, in the fields that may hold one."""
    data = b""
    for _ in range(random.choice((10, 99, 101, 500))):
        data = _varint(random.randint(1, 4) << 3 | 2) + _varint(len(data)) + data
    return valid + data


def huge_varint(random: Random, valid: bytes) -> bytes:
    number = random.choice(
        (b"\xff" * 9 + b"\x01", b"\xff" * 10, b"\xff" * 20, b"\x80" * 9 + b"\x01")
    )
    return valid + _varint(random.randint(1, 8) << 3) + number


def lying_length(random: Random, valid: bytes) -> bytes:
    """A text that says that it is longer than all there is."""
    length = random.choice((1 << 20, 1 << 31, (1 << 63) - 1))
    return valid + _varint(random.randint(1, 8) << 3 | 2) + _varint(length) + b"x"


def invalid_text(random: Random, valid: bytes) -> bytes:
    """What is no UTF-8, where a text is expected."""
    text = random.choice(
        (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82")
    )
    return valid + _varint(random.randint(1, 8) << 3 | 2) + _varint(len(text)) + text


def unknown_fields(random: Random, valid: bytes) -> bytes:
    number = random.choice((99, 19_000, (1 << 29) - 1, 1 << 29, 0))
    return valid + _varint(number << 3 | random.randrange(8)) + random.randbytes(8)


def too_large(random: Random, valid: bytes) -> bytes:
    padding = REQUEST_BYTES + 1 - len(valid)
    return valid + _varint(99 << 3 | 2) + _varint(padding) + b"x" * padding


BREAKERS: Sequence[Breaker] = (
    random_bytes,
    flipped,
    truncated,
    doubled,
    shuffled,
    deep_groups,
    deep_messages,
    huge_varint,
    lying_length,
    invalid_text,
    unknown_fields,
    too_large,
)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


# Words.

_TEXTS = (
    "",
    " ",
    "\x00",
    f"{ECHO}\x00{ECHO}",
    f"{ECHO}\r\nBcc: everybody@{ECHO}.test",
    f"\u202e{ECHO}\u2066",
    f"{ECHO}\u200b\u200d\ufeff",
    "\U0001f469\u200d\U0001f467\u200d\U0001f466" * 50,
    "e\u0301" * 400 + ECHO,
    f"{ECHO} javascript:alert(1) http://\u0430\u0440\u0440\u04cf\u0435.com/ https://a.example/%00",
    "\n" * 10_000,
    f"'; drop table profiles; -- {ECHO}",
    f"%s %n {{0}} ${{jndi:ldap://{ECHO}}} {{{{7*7}}}}",
    f"../../etc/{ECHO}",
    "a" * 9_999 + ECHO,
    "\U0001f9b7" * 10_001,
    "\ufb00" * 200 + ECHO,
    "\u1fa7" * 500,
    "NaN",
    "null",
    "-1",
    "\ud7ff\ue000\U0010ffff",
    "a",
    "word",
    "text/html",
    "staff:",
    f"{ECHO}@{ECHO}",
    "0000-00-00",
    "9999-12-31",
    "2024-02-30",
)
_INTEGERS = (0, 1, 2, -1, 199, 200, 201, 500, 10**9, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63))
_SECONDS = (0, 1, -1, 10**9, 253_402_300_799, 253_402_300_800, -62_135_596_801, 2**63 - 1, -(2**63))
_NANOS = (0, 1, -1, 999_999_999, 10**9, 2**31 - 1, -(2**31))
_PATHS = (
    "",
    ".",
    "*",
    "clinic_id",
    "etag",
    "messaging_policy.",
    "display_name",
    "email",
    ECHO,
    "\x00",
)


class Words:
    """Fills messages; `ids` are those of the clinics by the end of a field's name, such as
    `profile_id`, `tokens` pages and positions of other callers."""

    def __init__(
        self, random: Random, ids: dict[str, Sequence[str]], tokens: Sequence[str]
    ) -> None:
        self._random = random
        self._ids = ids
        self._tokens = tokens

    def fill(self, message: Message, *, spare: float) -> Message:
        """Each field is set to nonsense, or, with the chance `spare`, to what could be right."""
        for field in message.DESCRIPTOR.fields:
            if self._random.random() < 0.15:
                continue
            if field.is_repeated:
                self._fill_repeated(message, field, spare)
            elif field.message_type is not None:
                self._fill_message(getattr(message, field.name), spare)
            else:
                setattr(message, field.name, self._scalar(field, spare))
        return message

    def _fill_repeated(self, message: Message, field: Any, spare: float) -> None:
        values = getattr(message, field.name)
        for _ in range(self._random.choice((0, 1, 1, 2, 3, 201))):
            if field.message_type is not None:
                self._fill_message(values.add(), spare)
            else:
                values.append(self._scalar(field, spare))

    def _fill_message(self, message: Message, spare: float) -> None:
        message.SetInParent()
        choose = self._random.choice
        match message:
            case Timestamp():
                message.seconds, message.nanos = choose(_SECONDS), choose(_NANOS)
            case Duration():
                message.seconds, message.nanos = choose(_SECONDS), choose(_NANOS)
            case FieldMask():
                message.paths.extend(choose(_PATHS) for _ in range(choose((0, 1, 2, 50))))
            case _:
                self.fill(message, spare=spare)

    def _scalar(self, field: Any, spare: float) -> Any:
        match field.type:
            case FieldDescriptor.TYPE_STRING:
                return self._text(field.name, spare)
            case FieldDescriptor.TYPE_BYTES:
                return self._random.randbytes(self._random.choice((0, 1, 100, 49_153)))
            case FieldDescriptor.TYPE_BOOL:
                return self._random.random() < 0.5
            case FieldDescriptor.TYPE_ENUM:
                known = [value.number for value in field.enum_type.values]
                return self._random.choice((*known, *known, 99, -1, 2**31 - 1))
            case FieldDescriptor.TYPE_INT32:
                return self._random.choice([n for n in _INTEGERS if -(2**31) <= n < 2**31])
        return self._random.choice(_INTEGERS)

    def _text(self, name: str, spare: float) -> str:
        if self._random.random() < spare:
            for ending, ids in self._ids.items():
                if name.rstrip("s").endswith(ending):
                    return self._random.choice(ids)
        pools: list[Sequence[str]] = [_TEXTS]
        if name.endswith(("id", "ids")):
            pools.append([id for ids in self._ids.values() for id in ids])
        if name.endswith("token"):
            pools.append([self._tampered(), *self._tokens])
        return self._random.choice(self._random.choice(pools))

    def _tampered(self) -> str:
        token = self._random.choice(self._tokens)
        at = self._random.randrange(len(token))
        return token[:at] + self._random.choice("Aa0-_=%é") + token[at + 1 :]
