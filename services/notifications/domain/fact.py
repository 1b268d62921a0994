"""What conversations tells: a message was sent, one was deleted, a side has read its thread.

Each names the event that told it and the trace that the event belongs to.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.notifications.domain.delivery import Recipient, Whom
from services.notifications.domain.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSent:
    clinic_id: UUID
    event_id: UUID
    trace: str
    message: Message
    recipient: Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDeleted:
    clinic_id: UUID
    event_id: UUID
    trace: str
    message_id: UUID
    recipient: Recipient
    deleted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRead:
    """`recipient` is who read: whoever might have been told."""

    clinic_id: UUID
    event_id: UUID
    trace: str
    conversation_id: UUID
    recipient: Recipient
    up_to_sequence: int


Fact = MessageSent | MessageDeleted | ConversationRead


def whom(fact: Fact) -> Whom:
    return Whom(fact.clinic_id, fact.recipient)
