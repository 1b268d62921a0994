"""The mailbox of a stack, as tests read and program it."""

import json
from typing import TypedDict
from urllib.parse import quote

from tests.support.sink_client import SinkClient


class Mail(TypedDict):
    """What GET /messages tells of one mail."""

    id: str
    received_at: str
    sender: str
    recipients: list[str]
    answered: bool
    subject: str
    headers: dict[str, str]
    text: str
    html: str


class MailboxClient(SinkClient):
    async def mails(self, *, to: str = "") -> list[Mail]:
        """Newest first; all, or those to one recipient."""
        found: list[Mail] = json.loads(await self._call("GET", f"/messages?to={quote(to)}"))
        return found

    async def source(self, id: str) -> str:
        """A mail as it came over the wire."""
        return str(json.loads(await self._call("GET", f"/messages/{id}"))["raw"])

    async def clear(self) -> None:
        await self._call("DELETE", "/messages")

    async def answer(self, recipient: str, *, code: int) -> None:
        """Refuse this recipient from now on: 451 for now, 550 for ever."""
        await self._call("POST", "/faults", {"recipient": recipient, "code": code})

    async def hang(self, recipient: str, *, when: str) -> None:
        """Fall silent `before_data`, or `after_data`, when the mail is kept."""
        await self._call("POST", "/faults", {"recipient": recipient, "hang": when})

    async def fail(self, recipient: str, **fault: object) -> None:
        """Any other fault, as `deploy.local.mailbox.faults` describes them."""
        await self._call("POST", "/faults", {"recipient": recipient, **fault})
