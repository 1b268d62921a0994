"""A mail about new messages, as plain text and HTML: how many and where, nothing of them (P12)."""

from collections.abc import Iterator
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.chassis.clock import Clock
from services.notifications.channels.unsubscribe import UnsubscribeTokens
from services.notifications.domain.mail import (
    SUBJECT,
    Addressee,
    Contents,
    link_to_read,
    one_line,
    wire_address,
)

_TEMPLATES = Path(__file__).with_name("templates")


class _MailPolicy(EmailPolicy):
    """Folds all headers but one: a long link would come out as encoded words, which no mail reader
    undoes before it looks for what to click."""

    def fold_binary(self, name: str, value: str) -> bytes:
        if name == "List-Unsubscribe":
            return f"{name}: {value}\r\n".encode("ascii")
        return super().fold_binary(name, value)


_POLICY = _MailPolicy(linesep="\r\n", max_line_length=78)


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
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=lambda name: name is not None and name.endswith(".html"),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def compose(self, contents: Contents, addressee: Addressee) -> bytes:
        """The mail as it goes over the wire."""
        unsubscribe_url = self._unsubscribe_url(contents)
        mail = EmailMessage(policy=_POLICY)
        for name, value in self._headers(contents, addressee):
            mail[name] = value
        if unsubscribe_url is not None:
            mail["List-Unsubscribe"] = f"<{unsubscribe_url}>"
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        words = {
            "subject": SUBJECT,
            "count": contents.count,
            "sender_name": one_line(addressee.sender_name),
            "link": link_to_read(addressee.portal_base, contents),
            "unsubscribe_url": unsubscribe_url,
            "is_for_staff": contents.is_for_staff,
        }
        mail.set_content(self._render("new_messages.txt", words))
        mail.add_alternative(self._render("new_messages.html", words), subtype="html")
        return mail.as_bytes()

    def _headers(
        self, contents: Contents, addressee: Addressee
    ) -> Iterator[tuple[str, str | Address]]:
        yield "Subject", SUBJECT
        yield "From", Address(one_line(addressee.sender_name), addr_spec=self._sender)
        yield "To", Address(addr_spec=wire_address(addressee.address))
        yield "Date", format_datetime(self._clock())
        yield "Message-ID", f"<{contents.dispatch_id}@{self._sender.rpartition('@')[2]}>"
        yield "Auto-Submitted", "auto-generated"

    def _unsubscribe_url(self, contents: Contents) -> str | None:
        if self._public_url is None or not contents.is_for_staff:
            return None
        token = quote(self._tokens.seal(contents))
        return f"{self._public_url.rstrip('/')}/unsubscribe?token={token}"

    def _render(self, template: str, words: dict[str, object]) -> str:
        return self._templates.get_template(template).render(words)
