"""What a participant sees of a thread, in the inbox and above the messages (R8, R10, R16)."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from services.conversations.domain.conversation import Conversation
from services.conversations.domain.message import Message
from services.conversations.domain.people import People


class Filter(StrEnum):
    ALL = "ALL"
    UNREAD = "UNREAD"
    ARCHIVED = "ARCHIVED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A thread with its people and its last message; a tombstone stays one, never older text.

    `survivor_id` is the profile that survives the merge of this one, if it was merged away.
    """

    conversation: Conversation
    people: People
    staff_name: str
    profile_name: str
    last_message: Message | None
    survivor_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """The badge, in messages, and the threads they are in (R11)."""

    messages: int
    conversations: int
