"""Updates of a watch to protobuf."""

from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.chassis.paging import Cursor, PageTokenInvalid, PageTokens
from services.conversations.api.convert import CAUSES, SIDES, from_message
from services.conversations.domain.watching import (
    ArchivalChanged,
    CloseCause,
    Closing,
    Heartbeat,
    MessageChanged,
    Position,
    Receipt,
    Resync,
    UnreadChanged,
    Update,
)
from services.conversations.usecases.watch_inbox import WatchInbox

# What a resume token is tied to, beside its caller.
QUERY = "watch"

_CLOSE_CAUSES = {
    CloseCause.SESSION_ENDED: pb.WatchInboxResponse.CLOSE_CAUSE_SESSION_ENDED,
    CloseCause.TOKEN_EXPIRED: pb.WatchInboxResponse.CLOSE_CAUSE_TOKEN_EXPIRED,
    CloseCause.PROFILE_MERGED: pb.WatchInboxResponse.CLOSE_CAUSE_PROFILE_MERGED,
    CloseCause.STAFF_INACTIVE: pb.WatchInboxResponse.CLOSE_CAUSE_STAFF_INACTIVE,
    CloseCause.TOO_SLOW: pb.WatchInboxResponse.CLOSE_CAUSE_TOO_SLOW,
    CloseCause.SERVER_STOPPING: pb.WatchInboxResponse.CLOSE_CAUSE_SERVER_STOPPING,
}


def to_watch_inbox(request: pb.WatchInboxRequest, caller: Caller, tokens: PageTokens) -> WatchInbox:
    try:
        cursor = tokens.open(request.resume_token, QUERY)
    except PageTokenInvalid:
        field = "resume_token"
        raise InvalidArgument(f"{field} is of another caller, or of nobody", field=field) from None
    since = None if cursor is None else Position(str(cursor[0]), int(cursor[1]))
    return WatchInbox(caller=caller, since=since)


def cursor_of(position: Position) -> Cursor:
    return position.incarnation, position.number


def from_update(update: Update, token: str) -> pb.WatchInboxResponse:
    response = pb.WatchInboxResponse(resume_token=token)
    match update.news:
        case MessageChanged(message=message, deleted=True):
            response.message_deleted.CopyFrom(from_message(message))
        case MessageChanged(message=message):
            response.message_sent.CopyFrom(from_message(message))
        case Receipt() as receipt:
            response.conversation_read.CopyFrom(_from_receipt(receipt))
        case UnreadChanged() as unread:
            response.unread_changed.CopyFrom(_from_unread(unread))
        case ArchivalChanged(begun=True) as archival:
            response.conversation_archived.CopyFrom(_from_archival(archival))
        case ArchivalChanged() as archival:
            response.conversation_unarchived.CopyFrom(_from_archival(archival))
        case Heartbeat():
            response.heartbeat.SetInParent()
        case Resync():
            response.resync.SetInParent()
        case Closing(cause=cause):
            response.closing.cause = _CLOSE_CAUSES[cause]
    return response


def _from_receipt(receipt: Receipt) -> pb.WatchInboxResponse.Receipt:
    return pb.WatchInboxResponse.Receipt(
        conversation_id=str(receipt.conversation_id),
        side=SIDES[receipt.side],
        up_to_sequence=receipt.up_to_sequence,
        read_time=receipt.read_at,
    )


def _from_unread(unread: UnreadChanged) -> pb.WatchInboxResponse.Unread:
    return pb.WatchInboxResponse.Unread(
        conversation_id=str(unread.conversation_id),
        unread_count=unread.in_conversation,
        unread_messages=unread.total.messages,
        unread_conversations=unread.total.conversations,
    )


def _from_archival(archival: ArchivalChanged) -> pb.WatchInboxResponse.Archival:
    return pb.WatchInboxResponse.Archival(
        conversation_id=str(archival.conversation_id),
        cause=CAUSES[archival.reason.cause],
        cause_id=str(archival.reason.id),
        change_time=archival.at,
    )
