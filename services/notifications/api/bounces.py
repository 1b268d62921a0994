"""A little SMTP server on loopback: the mail server of the machine hands it what came back.

It takes mail to return paths that we made and nothing else, bounded in every way. Of a mail it
keeps what became of ours: no address is stored or logged.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from services.chassis.listener import Listener
from services.chassis.logs import get_logger
from services.chassis.telemetry import counter
from services.notifications.channels.reports import MOST_BYTES, read_report
from services.notifications.channels.return_paths import NotOurs, ReturnPaths
from services.notifications.domain.errors import DispatchNotFound
from services.notifications.usecases.take_feedback import TakeBounce

_LINE_BYTES = 4 * 1024
_CONNECTIONS = 16
_MOST_COMMANDS = 100
_SESSION_SECONDS = 60.0
_RECIPIENT = re.compile(rb"TO:\s*<([!-;=?-~]{1,254})>", re.IGNORECASE)
_TOO_MUCH = b"552 5.3.4 Too much"

BOUNCES = counter("bounces_total", "Mails that came back, by what they said.", ("said",))

ClinicOf = Callable[[UUID], Awaitable[UUID | None]]
Take = Callable[[TakeBounce], Awaitable[None]]

log = get_logger()


@dataclass(frozen=True, slots=True)
class _Returned:
    """Whose mail comes back."""

    clinic_id: UUID
    dispatch_id: UUID


class _End(Exception):
    """The last answer of a session."""


class BounceDoor(Listener):
    """Whoever is cut off tries again."""

    def __init__(
        self, address: str, *, return_paths: ReturnPaths, clinic_of: ClinicOf, take: Take
    ) -> None:
        super().__init__(
            address, connections=_CONNECTIONS, seconds=_SESSION_SECONDS, line_bytes=_LINE_BYTES
        )
        self._return_paths = return_paths
        self._clinic_of = clinic_of
        self._take = take

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Session(self, reader, writer).run()

    async def returned(self, argument: bytes) -> _Returned | None:
        """Whose mail comes back to this recipient; None for an address that we did not make, and
        for one of a mail that nobody was handed."""
        named = _RECIPIENT.match(argument)
        if named is None:
            return None
        try:
            dispatch_id = self._return_paths.dispatch_of(named[1].decode("ascii"))
        except NotOurs:
            return None
        clinic_id = await self._clinic_of(dispatch_id)
        return None if clinic_id is None else _Returned(clinic_id, dispatch_id)

    async def take(self, returned: _Returned, mail: bytes) -> None:
        feedback = await asyncio.to_thread(read_report, mail)
        said = "nothing" if feedback is None else feedback.lower()
        if feedback is not None:
            command = TakeBounce(
                clinic_id=returned.clinic_id, dispatch_id=returned.dispatch_id, feedback=feedback
            )
            try:
                await self._take(command)
            except DispatchNotFound:
                said = "nothing"
        BOUNCES.labels(said).inc()
        log.info("bounce_taken", dispatch_id=returned.dispatch_id, kind=said)


class _Session:
    """One connection: command and answer, in turns."""

    def __init__(
        self, door: BounceDoor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._door = door
        self._reader = reader
        self._writer = writer
        self._returned: _Returned | None = None

    async def run(self) -> None:
        try:
            await self._say(b"220 bounces")
            for _ in range(_MOST_COMMANDS):
                await self._say(await self._answer_to(await self._line(b"\n")))
            raise _End(b"421 4.7.0 Too many commands")
        except _End as end:
            await self._say(end.args[0])

    async def _answer_to(self, line: bytes) -> bytes:
        verb, _, argument = line.strip().partition(b" ")
        match verb.upper():
            case b"EHLO":
                return b"250-bounces\r\n250-8BITMIME\r\n250 SIZE %d" % MOST_BYTES
            case b"MAIL" | b"RSET":
                self._returned = None
                return b"250 2.0.0 OK"
            case b"RCPT":
                return await self._recipient(argument)
            case b"DATA":
                return await self._data()
            case b"HELO" | b"NOOP":
                return b"250 2.0.0 OK"
            case b"QUIT":
                raise _End(b"221 2.0.0 Bye")
        return b"502 5.5.1 Not known here"

    async def _recipient(self, argument: bytes) -> bytes:
        if self._returned is not None:
            return b"452 4.5.3 One at a time"
        try:
            self._returned = await self._door.returned(argument)
        except Exception as error:
            log.error("bounce_failed", exc_info=error)
            return b"451 4.3.0 Try again later"
        return b"550 5.1.1 Nobody here" if self._returned is None else b"250 2.1.5 OK"

    async def _data(self) -> bytes:
        if self._returned is None:
            return b"503 5.5.1 To whom?"
        returned, self._returned = self._returned, None
        await self._say(b"354 Go on")
        mail = await self._mail()
        try:
            await self._door.take(returned, mail)
        except Exception as error:
            log.error("bounce_failed", exc_info=error)
            return b"451 4.3.0 Try again later"
        return b"250 2.0.0 Taken"

    async def _mail(self) -> bytes:
        mail = bytearray()
        while (line := await self._line(b"\r\n")) != b".\r\n":
            mail += line.removeprefix(b".")
            if len(mail) > MOST_BYTES:
                raise _End(_TOO_MUCH)
        return bytes(mail)

    async def _line(self, end: bytes) -> bytes:
        try:
            return await self._reader.readuntil(end)
        except asyncio.LimitOverrunError:
            raise _End(_TOO_MUCH) from None

    async def _say(self, answer: bytes) -> None:
        self._writer.write(answer + b"\r\n")
        await self._writer.drain()
