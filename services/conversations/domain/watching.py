"""What a watch of the inbox tells, and why it ends (R13, R30, P9)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.conversations.domain.inbox import Unread
from services.conversations.domain.message import Message
from services.conversations.domain.people import Reason
from services.messaging_rule import Side


class CloseCause(StrEnum):
    SESSION_ENDED = "SESSION_ENDED"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"
    PROFILE_MERGED = "PROFILE_MERGED"
    STAFF_INACTIVE = "STAFF_INACTIVE"
    TOO_SLOW = "TOO_SLOW"
    SERVER_STOPPING = "SERVER_STOPPING"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in this service's events, of one life of its database."""

    incarnation: str
    number: int


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """Sent, or deleted: then it is the tombstone."""

    message: Message
    deleted: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    conversation_id: UUID
    side: Side
    up_to_sequence: int
    read_at: datetime


@dataclass(frozen=True, slots=True)
class UnreadChanged:
    """The watcher's own numbers, as they are now."""

    conversation_id: UUID
    in_conversation: int
    total: Unread


@dataclass(frozen=True, slots=True)
class ArchivalChanged:
    conversation_id: UUID
    reason: Reason
    begun: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened; the position moves on."""


@dataclass(frozen=True, slots=True)
class Resync:
    """What came before the position is not told: read the inbox anew, then go on from here."""


@dataclass(frozen=True, slots=True)
class Closing:
    cause: CloseCause


News = MessageChanged | Receipt | UnreadChanged | ArchivalChanged | Heartbeat | Resync | Closing


@dataclass(frozen=True, slots=True)
class Update:
    """One item of a watch; a client that returns with `position` misses nothing after it."""

    position: Position
    news: News
