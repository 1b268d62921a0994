"""Protobuf to commands, results to protobuf."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from clinic.conversations.v1 import conversation_pb2, message_pb2
from clinic.conversations.v1 import conversations_internal_service_pb2 as internal
from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.chassis.ids import parse_id
from services.chassis.paging import Cursor, page_size
from services.chassis.wire import from_time, to_moment
from services.conversations.domain.export import ExportedThread
from services.conversations.domain.inbox import Entry, Filter
from services.conversations.domain.links import LinkSpan, links_in
from services.conversations.domain.message import Message
from services.conversations.domain.people import Cause, Reason, reasons_in_force, why_not_send
from services.conversations.domain.writing import side_of
from services.conversations.usecases.batch_get_unread import BatchGetUnread
from services.conversations.usecases.delete_message import DeleteMessage
from services.conversations.usecases.list_conversations import ListConversations
from services.conversations.usecases.list_messages import ListMessages
from services.conversations.usecases.resolve_link import Outcome, ResolveLink
from services.conversations.usecases.send_message import SendMessage
from services.conversations.usecases.start_conversation import StartConversation
from services.conversations.usecases.stream_messages import StreamMessages
from services.messaging_rule import Side, WhyNot

PREVIEW_CHARACTERS = 200

SIDES = {Side.STAFF: message_pb2.SIDE_STAFF, Side.PROFILE: message_pb2.SIDE_PROFILE}
_FILTERS = {
    pb.CONVERSATION_FILTER_UNSPECIFIED: Filter.ALL,
    pb.CONVERSATION_FILTER_ALL: Filter.ALL,
    pb.CONVERSATION_FILTER_UNREAD: Filter.UNREAD,
    pb.CONVERSATION_FILTER_ARCHIVED: Filter.ARCHIVED,
}
_NEWEST_FIRST = {
    pb.MESSAGE_ORDER_UNSPECIFIED: True,
    pb.MESSAGE_ORDER_NEWEST_FIRST: True,
    pb.MESSAGE_ORDER_OLDEST_FIRST: False,
}
CAUSES = {
    Cause.MERGED_AWAY: conversation_pb2.ARCHIVE_CAUSE_MERGED_AWAY,
    Cause.STAFF_INACTIVE: conversation_pb2.ARCHIVE_CAUSE_STAFF_INACTIVE,
}
_CANNOT_WRITE = {
    WhyNot.PROFILE_MERGED: conversation_pb2.CANNOT_WRITE_REASON_PROFILE_MERGED,
    WhyNot.STAFF_INACTIVE: conversation_pb2.CANNOT_WRITE_REASON_STAFF_INACTIVE,
    WhyNot.MESSAGING_DISABLED: conversation_pb2.CANNOT_WRITE_REASON_MESSAGING_DISABLED,
    WhyNot.MESSAGING_BLOCKED: conversation_pb2.CANNOT_WRITE_REASON_MESSAGING_BLOCKED,
    WhyNot.RECIPIENT_DO_NOT_EMAIL: conversation_pb2.CANNOT_WRITE_REASON_RECIPIENT_DO_NOT_EMAIL,
}
_OUTCOMES = {
    Outcome.OK: pb.ResolveLinkResponse.OUTCOME_OK,
    Outcome.WRONG_PROFILE: pb.ResolveLinkResponse.OUTCOME_WRONG_PROFILE,
    Outcome.PROFILE_MERGED: pb.ResolveLinkResponse.OUTCOME_PROFILE_MERGED,
}


def to_start_conversation(
    request: pb.StartConversationRequest, caller: Caller
) -> StartConversation:
    return StartConversation(
        caller=caller,
        profile_id=parse_id(request.profile_id, field="profile_id"),
        additional_profile_ids=request.additional_profile_ids,
        request_id=parse_id(request.request_id, field="request_id"),
    )


def to_send_message(request: pb.SendMessageRequest, caller: Caller) -> SendMessage:
    return SendMessage(
        caller=caller,
        conversation_id=parse_id(request.conversation_id, field="conversation_id"),
        body=request.body,
        content_type=request.content_type,
        request_id=parse_id(request.request_id, field="request_id"),
    )


def to_delete_message(request: pb.DeleteMessageRequest, caller: Caller) -> DeleteMessage:
    return DeleteMessage(
        caller=caller,
        conversation_id=parse_id(request.conversation_id, field="conversation_id"),
        sequence=request.sequence,
        request_id=parse_id(request.request_id, field="request_id"),
    )


def to_resolve_link(request: pb.ResolveLinkRequest, caller: Caller) -> ResolveLink:
    return ResolveLink(
        caller=caller,
        conversation_id=parse_id(request.conversation_id, field="conversation_id"),
        profile_id=parse_id(request.profile_id, field="profile_id"),
    )


def to_list_conversations(
    request: pb.ListConversationsRequest, caller: Caller, cursor: Cursor | None
) -> ListConversations:
    filter = _FILTERS.get(request.filter)
    if filter is None:
        raise InvalidArgument("filter is not a known one", field="filter")
    return ListConversations(
        caller=caller,
        filter=filter,
        query=request.query,
        page_size=page_size(request.page_size),
        after=None if cursor is None else _inbox_place(cursor),
    )


def conversations_query(request: pb.ListConversationsRequest) -> str:
    """What a page token of the inbox is tied to."""
    return f"conversations {request.filter} {request.query}"


def inbox_cursor(place: tuple[datetime, UUID]) -> Cursor:
    return place[0].isoformat(), str(place[1])


def _inbox_place(cursor: Cursor) -> tuple[datetime, UUID]:
    at, id = cursor
    return datetime.fromisoformat(str(at)).astimezone(UTC), UUID(str(id))


def to_list_messages(
    request: pb.ListMessagesRequest, caller: Caller, cursor: Cursor | None
) -> ListMessages:
    newest_first = _NEWEST_FIRST.get(request.order)
    if newest_first is None:
        raise InvalidArgument("order is not a known one", field="order")
    if request.beyond_sequence < 0:
        raise InvalidArgument("beyond_sequence must not be negative", field="beyond_sequence")
    beyond = request.beyond_sequence or None
    return ListMessages(
        caller=caller,
        conversation_id=parse_id(request.conversation_id, field="conversation_id"),
        newest_first=newest_first,
        beyond=beyond if cursor is None else int(cursor[0]),
        page_size=page_size(request.page_size),
    )


def messages_query(request: pb.ListMessagesRequest) -> str:
    """What a page token of a thread is tied to."""
    return f"messages {request.conversation_id} {request.order} {request.beyond_sequence}"


def from_message(message: Message) -> message_pb2.Message:
    body = message.body or ""
    return _with_text(message, body, links_in(body))


def _with_text(message: Message, body: str, links: Sequence[LinkSpan]) -> message_pb2.Message:
    return message_pb2.Message(
        message_id=str(message.id),
        conversation_id=str(message.conversation_id),
        sequence=message.sequence,
        sender_side=SIDES[message.sender_side],
        body=body,
        links=[
            message_pb2.LinkSpan(offset=span.offset, length=span.length, url=span.url)
            for span in links
        ],
        send_time=from_time(message.sent_at),
        delete_time=from_time(message.deleted_at),
        deletable_until_time=from_time(message.deletable_until),
        read_time=from_time(message.read_at),
    )


def from_entry(entry: Entry, caller: Caller) -> conversation_pb2.Conversation:
    conversation, side = entry.conversation, side_of(caller)
    why = why_not_send(side, entry.people)
    return conversation_pb2.Conversation(
        conversation_id=str(conversation.id),
        staff_id=str(conversation.staff_id),
        profile_id=str(conversation.profile_id),
        staff_display_name=entry.staff_name,
        profile_display_name=entry.profile_name,
        last_sequence=conversation.last_sequence,
        unread_count=conversation.unread(side),
        last_activity_time=from_time(conversation.last_activity_at),
        last_message=None if entry.last_message is None else _preview(entry.last_message),
        archive_reasons=[_from_reason(r, entry) for r in reasons_in_force(entry.people)],
        can_write=why is None,
        cannot_write_reason=(
            conversation_pb2.CANNOT_WRITE_REASON_UNSPECIFIED if why is None else _CANNOT_WRITE[why]
        ),
        create_time=from_time(conversation.created_at),
    )


def _preview(message: Message) -> message_pb2.Message:
    """Cut short and without links: a page of whole bodies would be too large."""
    return _with_text(message, (message.body or "")[:PREVIEW_CHARACTERS], ())


def _from_reason(reason: Reason, entry: Entry) -> conversation_pb2.ArchiveReason:
    merged = reason.cause is Cause.MERGED_AWAY
    return conversation_pb2.ArchiveReason(
        cause=CAUSES[reason.cause],
        cause_id=str(reason.id),
        surviving_profile_id=str(entry.survivor_id) if merged and entry.survivor_id else "",
    )


def to_stream_messages(request: internal.StreamMessagesRequest, caller: Caller) -> StreamMessages:
    resume = request.resume_conversation_id
    return StreamMessages(
        caller=caller,
        staff_id=parse_id(request.staff_id, field="staff_id"),
        cutoff=to_moment(request.cutoff_time, field="cutoff_time"),
        resume_id=parse_id(resume, field="resume_conversation_id") if resume else None,
        resume_sequence=request.resume_sequence,
    )


def from_exported(item: ExportedThread | Message) -> internal.StreamMessagesResponse:
    if isinstance(item, Message):
        return internal.StreamMessagesResponse(message=from_message(item))
    header = internal.StreamMessagesResponse.Header(
        conversation_id=str(item.id),
        staff_id=str(item.staff_id),
        profile_id=str(item.profile_id),
        create_time=item.created_at,
        archive_periods=[
            internal.StreamMessagesResponse.ArchivePeriod(
                cause=CAUSES[period.cause],
                cause_id=str(period.cause_id),
                start_time=period.started_at,
                end_time=period.ended_at,
            )
            for period in item.archive_periods
        ],
    )
    return internal.StreamMessagesResponse(conversation=header)


def to_batch_get_unread(request: internal.BatchGetUnreadRequest, caller: Caller) -> BatchGetUnread:
    return BatchGetUnread(
        caller=caller,
        people=[
            (_to_side(person.side), parse_id(person.person_id, field="people.person_id"))
            for person in request.people
        ],
    )


def _to_side(side: message_pb2.Side) -> Side:
    for known, number in SIDES.items():
        if number == side:
            return known
    raise InvalidArgument("side is not a known one", field="people.side")


def from_outcome(outcome: Outcome) -> pb.ResolveLinkResponse:
    return pb.ResolveLinkResponse(outcome=_OUTCOMES[outcome])
