"""The mails that a development stack has sent, from its mailbox."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from services.cli.failures import Failed

_TIMEOUT_SECONDS = 10
_LINK = re.compile(r"https?://\S+/messages/(?P<conversation>[0-9a-f-]{36})\?profile=[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class Mail:
    id: str
    received_at: datetime
    recipients: Sequence[str]
    subject: str
    text: str
    html: str
    headers: Mapping[str, str]

    @property
    def link(self) -> str:
        """The link to the conversation; empty where there is none."""
        found = _LINK.search(self.text)
        return found[0] if found else ""

    @property
    def conversation_id(self) -> str:
        found = _LINK.search(self.text)
        return found["conversation"] if found else ""

    def mentions(self, words: str) -> bool:
        """Whether any part that a person or a server on the way may see holds the words."""
        parts = (self.subject, self.text, self.html, *self.headers.values())
        return any(words.casefold() in part.casefold() for part in parts)


class Mailbox:
    """Raises Failed where the mailbox cannot be reached."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def mails(self, *, to: str = "", after: str = "") -> list[Mail]:
        """Newest first: all, those to one address, those that came after another."""
        query = urlencode({name: value for name, value in (("to", to), ("after", after)) if value})
        return await asyncio.to_thread(self._get, f"{self._url}/messages?{query}")

    def _get(self, url: str) -> list[Mail]:
        if not self._url:
            raise Failed("This suite has no mailbox; name one with CLINIC_MAILBOX=<url>.")
        try:
            with urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
                return [_mail(told) for told in json.load(response)]
        except (URLError, TimeoutError, ConnectionError) as error:
            raise Failed(f"The mailbox at {self._url} cannot be reached: {error}.") from error


def _mail(told: Mapping[str, object]) -> Mail:
    recipients, headers = told["recipients"], told["headers"]
    assert isinstance(recipients, list)
    assert isinstance(headers, dict)
    return Mail(
        id=str(told["id"]),
        received_at=datetime.fromisoformat(str(told["received_at"])),
        recipients=tuple(map(str, recipients)),
        subject=str(told["subject"]),
        text=str(told["text"]),
        html=str(told["html"]),
        headers={str(name): str(value) for name, value in headers.items()},
    )
