"""What a delivery status report says (RFC 3464), and nothing else of the mail that it is in.

Anybody can write such a mail, so nothing in it is believed but what became of the one mail whose
return path it came to; and nothing in it can do harm.
"""

from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message

from services.notifications.domain.feedback import Feedback, is_graver

MOST_BYTES = 128 * 1024


def read_report(raw: bytes) -> Feedback | None:
    """What became of the mail; None where the report says nothing final, or is none."""
    try:
        gravest = None
        for told in filter(None, map(_feedback, _recipients(message_from_bytes(raw)))):
            if is_graver(told, gravest):
                gravest = told
        return gravest
    except Exception:
        # The parser promises to raise nothing and does, a new thing for each new oddity.
        return None


def _recipients(mail: Message) -> Iterator[Message]:
    """The fields of each recipient: of a report's second part, all blocks but the first."""
    if mail.get_content_type() != "multipart/report" or not mail.is_multipart():
        return
    for part in _parts(mail):
        if part.get_content_type() == "message/delivery-status":
            yield from _parts(part)[1:]


def _parts(mail: Message) -> list[Message]:
    parts = mail.get_payload()
    return [part for part in parts if isinstance(part, Message)] if isinstance(parts, list) else []


def _feedback(recipient: Message) -> Feedback | None:
    """A failure without a status that says "for good" is none for good."""
    match _word(recipient["Action"]):
        case "failed":
            for_good = _word(recipient["Status"]).startswith("5.")
            return Feedback.BAD_RECIPIENT if for_good else Feedback.BOUNCED
        case "delivered":
            return Feedback.DELIVERED
    return None


def _word(value: object) -> str:
    """The first word of a field; what follows is a comment."""
    words = str(value or "").split()
    return words[0].lower() if words else ""
