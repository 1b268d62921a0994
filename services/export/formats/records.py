"""What a conversation and a message are in their lines."""

from uuid import UUID

from services.export.domain.stream import Archival, Conversation, Message, Told
from services.export_format.layout import Record, time_of
from services.messaging_rule import Side


def message_record(message: Message, conversation: Conversation, *, staff_id: UUID) -> Record:
    sender_id = staff_id if message.sender_side is Side.STAFF else conversation.profile_id
    return {
        "conversation_id": str(message.conversation_id),
        "sequence": message.sequence,
        "message_id": str(message.id),
        "sender_side": str(message.sender_side),
        "sender_id": str(sender_id),
        "sent_at": time_of(message.sent_at),
        "text": message.text,
        "deleted_at": None if message.deleted_at is None else time_of(message.deleted_at),
        "read_at": None if message.read_at is None else time_of(message.read_at),
    }


def conversation_record(
    told: Told, *, staff_id: UUID, staff_name: str, profile_name: str
) -> Record:
    conversation = told.conversation
    return {
        "conversation_id": str(conversation.id),
        "staff_id": str(staff_id),
        "staff_name": staff_name,
        "profile_id": str(conversation.profile_id),
        "profile_name": profile_name,
        "created_at": time_of(conversation.created_at),
        "archivals": [_archival(archival) for archival in conversation.archivals],
        "messages": told.messages,
        "tombstones": told.tombstones,
    }


def _archival(archival: Archival) -> Record:
    return {
        "cause": archival.cause,
        "cause_id": str(archival.cause_id),
        "started_at": time_of(archival.started_at),
        "ended_at": None if archival.ended_at is None else time_of(archival.ended_at),
    }
