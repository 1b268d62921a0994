"""Deciding a batch of sends and read marks, each on its own, in order of arrival.

Pure: what was loaded goes in, what is to be stored and each member's outcome come out. Several
members of one thread build on each other through `Thread`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.chassis.errors import AlreadyExists, DomainError
from services.chassis.identity import Caller, Role
from services.chassis.ids import uuid7
from services.conversations.domain.conversation import Conversation
from services.conversations.domain.errors import (
    ConversationNotFound,
    ReadBeyondLast,
    Unconfirmed,
    refusal_to_send,
)
from services.conversations.domain.message import Message
from services.conversations.domain.people import People, may_see, why_not_send
from services.messaging_rule import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """One message to post. `fingerprint` is the keyed hash of what is sent (I34), `trace` the
    traceparent of the call."""

    caller: Caller
    conversation_id: UUID
    request_id: UUID
    body: str
    fingerprint: bytes
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The caller has opened the thread as far as this sequence (R20, R21)."""

    caller: Caller
    conversation_id: UUID
    up_to_sequence: int


Member = Send | Mark
Outcome = Message | int | DomainError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A message that this sender posted with the same request id; a tombstone has no print."""

    message_id: UUID
    sequence: int
    fingerprint: bytes | None
    sent_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A member with what the database holds for it.

    `conversation` is None where the caller has none of this id, `people` where the replica lacks
    one of them.
    `locked` is false where another transaction holds the thread: the member is not decided now.
    `unread_beyond` counts the other side's live messages after a mark's sequence.
    """

    member: Member
    session_refusal: DomainError | None
    conversation: Conversation | None
    locked: bool
    people: People | None
    earlier: Earlier | None
    unread_beyond: int


@dataclass(slots=True)
class Thread:
    """A thread while a batch writes to it."""

    conversation: Conversation
    last_sequence: int
    last_activity_at: datetime
    unread: dict[Side, int]
    read_sequence: dict[Side, int]
    posted: list[tuple[Send, Message]] = field(default_factory=list)
    marks: dict[Side, int] = field(default_factory=dict)

    @classmethod
    def of(cls, conversation: Conversation) -> "Thread":
        return cls(
            conversation=conversation,
            last_sequence=conversation.last_sequence,
            last_activity_at=conversation.last_activity_at,
            unread={side: conversation.unread(side) for side in Side},
            read_sequence={side: conversation.read_sequence(side) for side in Side},
        )

    @property
    def changed(self) -> bool:
        return bool(self.posted or self.marks)


@dataclass(slots=True)
class Decided:
    """Every member's outcome, in order (None: not decided), and the threads as they become."""

    outcomes: list[Outcome] = field(default_factory=list)
    threads: dict[UUID, Thread] = field(default_factory=dict)


def decide(batch: Sequence[Loaded], *, now: datetime) -> Decided:
    """Decide every member; `now` is the database's clock after the locks."""
    decided = Decided()
    for loaded in batch:
        try:
            decided.outcomes.append(_decide_one(loaded, decided.threads, now))
        except DomainError as refusal:
            decided.outcomes.append(refusal)
    return decided


def side_of(caller: Caller) -> Side:
    return Side.STAFF if caller.role is Role.STAFF else Side.PROFILE


def _decide_one(loaded: Loaded, threads: dict[UUID, Thread], now: datetime) -> Outcome:
    member, side = loaded.member, side_of(loaded.member.caller)
    if loaded.session_refusal is not None:
        raise loaded.session_refusal
    if loaded.conversation is not None and not loaded.locked:
        return None
    conversation, people = reachable(
        loaded.conversation, loaded.people, caller=member.caller, side=side
    )
    thread = threads.setdefault(conversation.id, Thread.of(conversation))
    if isinstance(member, Mark):
        return _mark(thread, member, side, loaded.unread_beyond)
    if (message := _earlier(thread, member, side, loaded.earlier)) is not None:
        return message
    if (why := why_not_send(side, people)) is not None:
        raise _unconfirmed(refusal_to_send(why), conversation, people)
    return _post(thread, member, side, now)


def reachable(
    conversation: Conversation | None, people: People | None, *, caller: Caller, side: Side
) -> tuple[Conversation, People]:
    """The thread, to a participant who may see it; absent, not yours and merged away look alike."""
    if conversation is None or conversation.person(side) != caller.person:
        raise not_found()
    if people is None or not may_see(side, people, last_sequence=conversation.last_sequence):
        raise _unconfirmed(not_found(), conversation, people)
    return conversation, people


def _unconfirmed(
    refusal: DomainError, conversation: Conversation, people: People | None
) -> Unconfirmed:
    return Unconfirmed(
        refusal,
        staff_id=conversation.staff_id,
        profile_id=conversation.profile_id,
        facts_missing=people is None,
    )


def not_found() -> ConversationNotFound:
    return ConversationNotFound("There is no such conversation")


def _earlier(thread: Thread, send: Send, side: Side, earlier: Earlier | None) -> Message | None:
    """What an earlier try of this request made, in the database or in this batch (I33, I34)."""
    for posted, message in thread.posted:
        if message.sender_side is side and posted.request_id == send.request_id:
            _check_same(posted.fingerprint, send)
            return message
    if earlier is None:
        return None
    if earlier.fingerprint is not None:
        _check_same(earlier.fingerprint, send)
    return Message(
        id=earlier.message_id,
        clinic_id=thread.conversation.clinic_id,
        conversation_id=thread.conversation.id,
        sequence=earlier.sequence,
        sender_side=side,
        body=None if earlier.deleted_at else send.body,
        sent_at=earlier.sent_at,
        deleted_at=earlier.deleted_at,
    )


def _check_same(fingerprint: bytes, send: Send) -> None:
    if fingerprint != send.fingerprint:
        raise AlreadyExists(
            "This request_id was used for a different message; make a new one",
            request_id=str(send.request_id),
        )


def _post(thread: Thread, send: Send, side: Side, now: datetime) -> Message:
    thread.last_sequence += 1
    thread.last_activity_at = max(now, thread.last_activity_at)
    thread.unread[side.other] += 1
    message = Message(
        id=uuid7(),
        clinic_id=thread.conversation.clinic_id,
        conversation_id=thread.conversation.id,
        sequence=thread.last_sequence,
        sender_side=side,
        body=send.body,
        sent_at=thread.last_activity_at,
    )
    thread.posted.append((send, message))
    return message


def _mark(thread: Thread, mark: Mark, side: Side, unread_beyond: int) -> int:
    """Move the caller's read position forward; the unread number that remains (R22)."""
    if not 0 <= mark.up_to_sequence <= thread.last_sequence:
        raise ReadBeyondLast(
            f"up_to_sequence is beyond the last message, {thread.last_sequence}",
            field="up_to_sequence",
        )
    if mark.up_to_sequence > thread.read_sequence[side]:
        posted_since = sum(
            message.sender_side is side.other and message.sequence > mark.up_to_sequence
            for _, message in thread.posted
        )
        thread.read_sequence[side] = thread.marks[side] = mark.up_to_sequence
        thread.unread[side] = unread_beyond + posted_since
    return thread.unread[side]
