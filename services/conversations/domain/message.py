"""A message: plain text, or the tombstone of one (R7, R27 to R31)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.conversations.domain.errors import (
    AttachmentsUnsupported,
    BodyBlank,
    BodyTooLong,
    DeleteWindowClosed,
    NotSender,
)
from services.messaging_rule import Side

DELETE_WINDOW = timedelta(minutes=5)
MOST_CHARACTERS = 10_000
MOST_BYTES = 40_000
PLAIN_TEXT = "text/plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`body` is None in a tombstone; `read_at` is when the other side first read it."""

    id: UUID
    clinic_id: UUID
    conversation_id: UUID
    sequence: int
    sender_side: Side
    body: str | None
    sent_at: datetime
    deleted_at: datetime | None = None
    read_at: datetime | None = None

    @property
    def deletable_until(self) -> datetime:
        return self.sent_at + DELETE_WINDOW


def check_body(body: str, content_type: str) -> None:
    """Text that is not blank, of at most 10,000 code points and 40 kB of UTF-8 (R7, R38)."""
    if content_type not in ("", PLAIN_TEXT):
        raise AttachmentsUnsupported("Only text/plain can be sent", field="content_type")
    if not body.strip():
        raise BodyBlank("A message needs text that is not only white space", field="body")
    if len(body) > MOST_CHARACTERS or len(body.encode()) > MOST_BYTES:
        raise BodyTooLong(
            f"A message has at most {MOST_CHARACTERS} characters and {MOST_BYTES} bytes",
            field="body",
        )


def check_deletable(message: Message, side: Side, *, arrived_at: datetime) -> None:
    """Only the sender, and up to 5:00.000 after sending, by the database's clock (R27, R28, I18).

    Raises NotSender or DeleteWindowClosed.
    """
    if message.sender_side is not side:
        raise NotSender("Only its sender may delete a message")
    if arrived_at - message.sent_at > DELETE_WINDOW:
        raise DeleteWindowClosed(
            "A message can be deleted for five minutes after it was sent",
            deletable_until_time=message.deletable_until.isoformat(),
        )
