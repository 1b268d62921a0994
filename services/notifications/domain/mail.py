"""What a mail about new messages says: how many, where to read them, and nothing of them (P12)."""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.chassis.errors import InvalidArgument
from services.messaging_rule import Side
from services.notifications.domain.delivery import Recipient

SUBJECT = "You have a new secure message"
CODE_SUBJECT = "Your one-time code"
_CODE = re.compile(r"[0-9A-Za-z-]{4,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """Whom a mail is for and in whose name it is sent, read when it leaves and kept nowhere.

    `address` and `portal_base` may be empty.
    """

    address: str
    sender_name: str
    portal_base: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the ledger says about one mail. `conversation_id` is None where the messages are in
    more than one; `latest_at` is when the last of them was sent."""

    dispatch_id: UUID
    clinic_id: UUID
    recipient: Recipient
    count: int
    conversation_id: UUID | None
    latest_at: datetime

    @property
    def is_for_staff(self) -> bool:
        return self.recipient.side is Side.STAFF


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeCode:
    """`id` makes a repeat the same mail. Raises InvalidArgument for what is no code."""

    id: UUID
    text: str = field(repr=False)

    def __post_init__(self) -> None:
        if _CODE.fullmatch(self.text) is None:
            raise InvalidArgument("code is 4 to 32 letters, digits and hyphens", field="code")


def link_to_read(portal_base: str, contents: Contents) -> str | None:
    """Where the messages are read after a login: it holds ids and no credential (R15, R42)."""
    if not portal_base:
        return None
    thread = "" if contents.conversation_id is None else f"/{contents.conversation_id}"
    return f"{portal_base.rstrip('/')}/messages{thread}?profile={contents.recipient.id}"


def wire_address(address: str) -> str:
    """The address in the ASCII that every mail server takes, its domain in IDNA.

    Raises ValueError for what is none: a local part beyond ASCII, white space, control characters.
    """
    local, _, domain = address.rpartition("@")
    if not (local and domain and local.isascii() and local.isprintable()) or " " in address:
        raise ValueError("not an address that can be mailed")
    return f"{local}@{domain.encode('idna').decode('ascii')}"


def one_line(text: str) -> str:
    """Without what could end a header's line or hide in it."""
    printable = "".join(" " if _breaks(character) else character for character in text)
    return " ".join(printable.split())


def _breaks(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Zl", "Zp")
