"""The mails of a replay as they come, sorted by the conversation that they are about."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from services.cli.failures import Failed
from services.cli.mailbox import Mail, Mailbox

_LOOK_EVERY_SECONDS = 0.05
_QUIET_SECONDS = 1.0


class Post:
    """Looks into the mailbox for as long as run() runs."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._last = ""
        self._waiting: defaultdict[str, asyncio.Queue[Mail]] = defaultdict(asyncio.Queue)
        self._mails: list[Mail] = []

    async def skip_old(self) -> None:
        """Mails that are there already are none of ours."""
        old = await self._mailbox.mails()
        self._last = old[0].id if old else ""

    async def run(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def next(self, conversation_id: str, *, within: timedelta) -> Mail:
        """The next mail about a conversation. Raises Failed where none comes in time."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await self._waiting[conversation_id].get()
        except TimeoutError:
            raise Failed(f"no mail came within {within.total_seconds():.0f} s") from None

    def to(self, addresses: Iterable[str]) -> list[Mail]:
        """The mails that came for any of these."""
        ours = {address.casefold() for address in addresses}
        return [
            mail
            for mail in self._mails
            if any(recipient.casefold() in ours for recipient in mail.recipients)
        ]

    async def settle(self) -> None:
        """Wait until a moment has passed without a further mail."""
        known = -1
        while known != len(self._mails):
            known = len(self._mails)
            await asyncio.sleep(_QUIET_SECONDS)

    async def _look(self) -> None:
        for mail in reversed(await self._mailbox.mails(after=self._last)):
            self._last = mail.id
            self._mails.append(mail)
            self._waiting[mail.conversation_id].put_nowait(mail)
