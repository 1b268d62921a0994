"""What conversations tells of a staff member: each conversation, followed by its messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.messaging_rule import Side


@dataclass(frozen=True, slots=True)
class Archival:
    """A time during which a reason to be archived was in force; None: still at the cut-off."""

    cause: str
    cause_id: UUID
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    id: UUID
    profile_id: UUID
    created_at: datetime
    archivals: Sequence[Archival]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`text` is None in a tombstone; `read_at` is None where it was unread at the cut-off."""

    id: UUID
    conversation_id: UUID
    sequence: int
    sender_side: Side
    text: str | None
    sent_at: datetime
    deleted_at: datetime | None
    read_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The last that was taken of a stream: `sequence` is 0 before a conversation's first message.

    `tombstones` are those of that conversation so far.
    """

    conversation_id: UUID
    sequence: int
    tombstones: int


@dataclass(frozen=True, slots=True)
class Told:
    """A conversation of which all is told, and how many messages and tombstones it has."""

    conversation: Conversation
    messages: int
    tombstones: int


class OutOfOrder(Exception):
    """The stream is not what it promises; what would be written of it could not be relied on."""


class Walk:
    """Follows a stream, from its start or from a place, and counts what it tells."""

    def __init__(self, start: Place | None) -> None:
        self._place = start
        self._conversation: Conversation | None = None
        self._told: list[Told] = []

    @property
    def place(self) -> Place | None:
        return self._place

    def enter(self, conversation: Conversation) -> None:
        """Raises OutOfOrder unless it comes after the one before, or is where the walk began."""
        last, began = self._place, self._conversation is not None
        if last is not None and conversation.id == last.conversation_id and not began:
            self._conversation = conversation
            return
        if last is not None and (not began or conversation.id <= last.conversation_id):
            raise OutOfOrder("conversations come in the order of their ids")
        self._leave()
        self._conversation = conversation
        self._place = Place(conversation_id=conversation.id, sequence=0, tombstones=0)

    def take(self, message: Message) -> Conversation:
        """The message's conversation. Raises OutOfOrder unless the message is its next."""
        last, conversation = self._place, self._conversation
        if last is None or conversation is None or message.conversation_id != conversation.id:
            raise OutOfOrder("a message comes after its conversation")
        if message.sequence != last.sequence + 1:
            raise OutOfOrder("messages come in order and without gaps")
        self._place = Place(
            conversation_id=conversation.id,
            sequence=message.sequence,
            tombstones=last.tombstones + (message.text is None),
        )
        return conversation

    def end(self) -> None:
        """The stream is over. Raises OutOfOrder where it did not tell what the walk began at."""
        if self._place is not None and self._conversation is None:
            raise OutOfOrder("the conversation where it broke is told again")
        self._leave()
        self._conversation = None

    def told(self) -> list[Told]:
        """The conversations of which all was told since this was last asked."""
        told, self._told = self._told, []
        return told

    def _leave(self) -> None:
        if self._conversation is not None and self._place is not None:
            place = self._place
            self._told.append(Told(self._conversation, place.sequence, place.tombstones))
