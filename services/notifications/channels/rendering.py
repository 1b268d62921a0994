"""A mail about new messages, as plain text and HTML: how many and where, nothing of them (P12)."""

from collections.abc import Iterator
from email.headerregistry import Address
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.chassis.clock import Clock
from services.notifications.channels.mime import alternatives, from_header, plain_header
from services.notifications.channels.unsubscribe import UnsubscribeTokens
from services.notifications.domain.mail import (
    CODE_SUBJECT,
    SUBJECT,
    Addressee,
    Contents,
    OneTimeCode,
    link_to_read,
    one_line,
    wire_address,
)

_TEMPLATES = Path(__file__).with_name("templates")


class Composer:
    """Makes the mail of one dispatch. A repeat of it has the same Message-ID.

    `public_url` is where mail readers reach this service; without it staff mail offers no
    one-click unsubscribe.
    """

    def __init__(
        self,
        *,
        sender: str,
        tokens: UnsubscribeTokens,
        public_url: str | None,
        clock: Clock,
    ) -> None:
        self._sender = sender
        self._tokens = tokens
        self._public_url = public_url
        self._clock = clock
        templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=lambda name: name is not None and name.endswith(".html"),
            undefined=StrictUndefined,
            auto_reload=False,  # a frame of another release would not fit
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._plain = templates.get_template("new_messages.txt")
        self._html = templates.get_template("new_messages.html")
        self._plain_code = templates.get_template("code.txt")
        self._html_code = templates.get_template("code.html")

    def compose(self, contents: Contents, addressee: Addressee) -> bytes:
        """The mail as it goes over the wire."""
        unsubscribe_url = self._unsubscribe_url(contents)
        words = {
            "subject": SUBJECT,
            "count": contents.count,
            "sender_name": one_line(addressee.sender_name),
            "link": link_to_read(addressee.portal_base, contents),
            "unsubscribe_url": unsubscribe_url,
            "is_for_staff": contents.is_for_staff,
        }
        return alternatives(
            self._headers(contents, addressee, unsubscribe_url),
            plain=self._plain.render(words),
            html=self._html.render(words),
            boundary=f"=_{contents.dispatch_id.hex}",
        )

    def compose_code(self, code: OneTimeCode, addressee: Addressee) -> bytes:
        """A mail with a one-time code, as it goes over the wire."""
        words = {
            "subject": CODE_SUBJECT,
            "sender_name": one_line(addressee.sender_name),
            "code": code.text,
        }
        return alternatives(
            self._common_headers(CODE_SUBJECT, code.id, addressee),
            plain=self._plain_code.render(words),
            html=self._html_code.render(words),
            boundary=f"=_{code.id.hex}",
        )

    def _headers(
        self, contents: Contents, addressee: Addressee, unsubscribe_url: str | None
    ) -> Iterator[bytes]:
        yield from self._common_headers(SUBJECT, contents.dispatch_id, addressee)
        if unsubscribe_url is not None:
            yield plain_header("List-Unsubscribe", f"<{unsubscribe_url}>")
            yield plain_header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")

    def _common_headers(self, subject: str, id: UUID, addressee: Addressee) -> Iterator[bytes]:
        domain = self._sender.rpartition("@")[2]
        yield plain_header("Subject", subject)
        yield from_header(one_line(addressee.sender_name), self._sender)
        yield plain_header("To", str(Address(addr_spec=wire_address(addressee.address))))
        yield plain_header("Date", format_datetime(self._clock()))
        yield plain_header("Message-ID", f"<{id}@{domain}>")
        yield plain_header("Auto-Submitted", "auto-generated")

    def _unsubscribe_url(self, contents: Contents) -> str | None:
        if self._public_url is None or not contents.is_for_staff:
            return None
        token = quote(self._tokens.seal(contents))
        return f"{self._public_url.rstrip('/')}/unsubscribe?token={token}"
