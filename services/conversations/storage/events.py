"""What conversations publishes, as bytes: ids, enums, numbers and times only."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from google.protobuf.message import Message as ProtobufMessage

from clinic.conversations.v1 import conversation_pb2, message_pb2
from clinic.conversations.v1 import conversations_events_pb2 as events
from services.chassis.outbox import NewEvent
from services.chassis.wire import to_time
from services.conversations.domain.conversation import Conversation
from services.conversations.domain.message import Message
from services.conversations.domain.people import Cause, Reason
from services.conversations.domain.watching import ArchivalChanged, Receipt
from services.conversations.domain.writing import Thread
from services.messaging_rule import Side

_SIDES = {Side.STAFF: message_pb2.SIDE_STAFF, Side.PROFILE: message_pb2.SIDE_PROFILE}

_CAUSES = {
    Cause.MERGED_AWAY: conversation_pb2.ARCHIVE_CAUSE_MERGED_AWAY,
    Cause.STAFF_INACTIVE: conversation_pb2.ARCHIVE_CAUSE_STAFF_INACTIVE,
}


def conversation_started(conversation: Conversation) -> NewEvent:
    payload = events.ConversationStarted(**_ids(conversation), start_time=conversation.created_at)
    return _event("conversation_started", conversation, payload)


def message_deleted(conversation: Conversation, tombstone: Message) -> NewEvent:
    payload = events.MessageDeleted(
        **_ids(conversation),
        message_id=str(tombstone.id),
        sequence=tombstone.sequence,
        sender_side=_SIDES[tombstone.sender_side],
        delete_time=tombstone.deleted_at,
    )
    return _event("message_deleted", conversation, payload)


def archival_changed(
    conversation: Conversation, reason: Reason, *, begun: bool, at: datetime
) -> NewEvent:
    kind = events.ConversationArchived if begun else events.ConversationUnarchived
    payload = kind(
        **_ids(conversation),
        cause=_CAUSES[reason.cause],
        cause_id=str(reason.id),
        change_time=at,
    )
    type = "conversation_archived" if begun else "conversation_unarchived"
    return _event(type, conversation, payload)


def events_of_thread(thread: Thread, now: datetime) -> Iterator[tuple[NewEvent, str]]:
    """The facts of what a batch did to a thread, in order, each with the trace of its call."""
    for send, message in thread.posted:
        yield _message_sent(thread.conversation, message), send.trace
    for side, up_to in thread.marks.items():
        yield _conversation_read(thread.conversation, side, up_to, now), ""


def _message_sent(conversation: Conversation, message: Message) -> NewEvent:
    payload = events.MessageSent(
        **_ids(conversation),
        message_id=str(message.id),
        sequence=message.sequence,
        sender_side=_SIDES[message.sender_side],
        send_time=message.sent_at,
    )
    return _event("message_sent", conversation, payload)


def _conversation_read(
    conversation: Conversation, side: Side, up_to: int, now: datetime
) -> NewEvent:
    payload = events.ConversationRead(
        **_ids(conversation), side=_SIDES[side], up_to_sequence=up_to, read_time=now
    )
    return _event("conversation_read", conversation, payload)


def _ids(conversation: Conversation) -> dict[str, str]:
    return {
        "clinic_id": str(conversation.clinic_id),
        "conversation_id": str(conversation.id),
        "staff_id": str(conversation.staff_id),
        "profile_id": str(conversation.profile_id),
    }


def _event(type: str, conversation: Conversation, payload: ProtobufMessage) -> NewEvent:
    return NewEvent(
        clinic_id=conversation.clinic_id,
        kind="fact",
        type=type,
        aggregate_type="conversation",
        aggregate_id=conversation.id,
        aggregate_version=conversation.last_sequence,
        staff_id=conversation.staff_id,
        profile_id=conversation.profile_id,
        payload=payload.SerializeToString(),
    )


@dataclass(frozen=True, slots=True)
class ConversationNews:
    """A fact that changes what is unread: a message sent or deleted, or a receipt."""

    sequence: int = 0
    deleted: bool = False
    receipt: Receipt | None = None


def read_news(type: str, payload: bytes) -> ConversationNews | ArchivalChanged | None:
    """What an event of ours tells a watch; None for one that concerns no inbox."""
    match type:
        case "message_sent":
            return ConversationNews(events.MessageSent.FromString(payload).sequence)
        case "message_deleted":
            sequence = events.MessageDeleted.FromString(payload).sequence
            return ConversationNews(sequence, deleted=True)
        case "conversation_read":
            return ConversationNews(
                receipt=_to_receipt(events.ConversationRead.FromString(payload))
            )
        case "conversation_archived":
            return _to_archival(events.ConversationArchived.FromString(payload), begun=True)
        case "conversation_unarchived":
            return _to_archival(events.ConversationUnarchived.FromString(payload), begun=False)
        case _:
            return None


def _to_receipt(fact: events.ConversationRead) -> Receipt:
    side = Side.STAFF if fact.side == message_pb2.SIDE_STAFF else Side.PROFILE
    return Receipt(UUID(fact.conversation_id), side, fact.up_to_sequence, to_time(fact.read_time))


def _to_archival(
    fact: events.ConversationArchived | events.ConversationUnarchived, *, begun: bool
) -> ArchivalChanged:
    merged = fact.cause == conversation_pb2.ARCHIVE_CAUSE_MERGED_AWAY
    cause = Cause.MERGED_AWAY if merged else Cause.STAFF_INACTIVE
    reason = Reason(cause, UUID(fact.cause_id))
    return ArchivalChanged(
        UUID(fact.conversation_id), reason, begun=begun, at=to_time(fact.change_time)
    )
