"""Connections to one mail server: a few at once, each kept for further mails.

One that has gone stale is noticed while it is told of sender and recipient, when nothing is lost
yet: a fresh one takes its place.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType

import aiosmtplib
from aiosmtplib import (
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from services.chassis.settings import Secret
from services.notifications.channels.failures import AddressRefused, TryLater
from services.notifications.channels.pace import Pace

# Together well within a claim's lease.
CONNECT_SECONDS = 5.0
MAIL_SECONDS = 30.0
AT_ONCE = 16
MOST_MAILS = 100
IDLE_SECONDS = 10.0
MAILS_A_SECOND = 1_000
_AVOIDED_SECONDS = 30.0
_CLOSING = 421


class SmtpTls(StrEnum):
    OFF = "off"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where mail is handed over. `sender` is the bare address of the envelope.

    `connect_seconds` bounds the connecting, and each step before the mail itself; `mail_seconds`
    all of one mail. A connection takes `most_mails`, and waits `idle_seconds` for the next; all of
    them together take `mails_a_second`.
    """

    host: str
    port: int
    sender: str
    username: str | None = None
    password: Secret | None = None
    tls: SmtpTls = SmtpTls.OFF
    connect_seconds: float = CONNECT_SECONDS
    mail_seconds: float = MAIL_SECONDS
    most_mails: int = MOST_MAILS
    idle_seconds: float = IDLE_SECONDS
    mails_a_second: float = MAILS_A_SECOND


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who gets a mail that cannot be delivered, and who gets the mail."""

    return_path: str
    recipient: str


@dataclass(slots=True)
class Connection:
    """`mails` is how many went over it."""

    client: aiosmtplib.SMTP
    mails: int = 0
    expiry: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """At once; QUIT is a courtesy whose answer is not waited for."""
        protocol = self.client.protocol
        if protocol is not None and protocol.is_connected:
            with suppress(SMTPException):
                protocol.write(b"QUIT\r\n")
        self.client.close()


class _Stale(Exception):
    """A kept connection turned out to be gone."""


class Connections:
    """Those of this process to one server; a block of it holds one of the few places, and begins
    when it is a further mail's turn."""

    def __init__(self, server: SmtpServer) -> None:
        self.server = server
        self._places = asyncio.Semaphore(AT_ONCE)
        self._pace = Pace(server.mails_a_second)
        self._kept: list[Connection] = []
        self._avoided_until = 0.0

    async def __aenter__(self) -> None:
        await self._places.acquire()
        try:
            await self._pace.turn()
        except BaseException:
            self._places.release()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._places.release()

    @property
    def avoided(self) -> bool:
        """Whether it was out of reach a moment ago: another server is asked first."""
        return asyncio.get_running_loop().time() < self._avoided_until

    async def ready_for(self, envelope: Envelope) -> Connection:
        """A connection whose server has accepted the envelope. Raises TryLater, AddressRefused."""
        if (kept := self._take()) is not None:
            try:
                return await self._told(kept, envelope)
            except _Stale:
                # What made one stale did so to the others, and each would cost its time.
                self.close()
        try:
            return await self._told(await self._connected(), envelope)
        except _Stale as error:
            self._avoid()
            raise TryLater from error.__cause__

    def keep(self, connection: Connection) -> None:
        """For the next mail, which it is ready for: the server has just taken one."""
        connection.mails += 1
        if connection.mails >= self.server.most_mails or not connection.client.is_connected:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.expiry = loop.call_later(self.server.idle_seconds, self._expire, connection)
        self._kept.append(connection)

    def close(self) -> None:
        """All that are kept."""
        while (connection := self._take()) is not None:
            connection.close()

    def _take(self) -> Connection | None:
        """The one used last, so that the others may expire."""
        while self._kept:
            connection = self._kept.pop()
            if connection.expiry is not None:
                connection.expiry.cancel()
            if connection.client.is_connected:
                return connection
        return None

    def _expire(self, connection: Connection) -> None:
        self._kept.remove(connection)
        connection.close()

    async def _connected(self) -> Connection:
        client = self._client()
        try:
            async with asyncio.timeout(self.server.connect_seconds):
                await client.connect()
        except (SMTPException, OSError) as error:
            client.close()
            self._avoid()
            raise TryLater from error
        except BaseException:
            client.close()
            raise
        self._avoided_until = 0.0
        return Connection(client)

    def _avoid(self) -> None:
        self._avoided_until = asyncio.get_running_loop().time() + _AVOIDED_SECONDS

    def _client(self) -> aiosmtplib.SMTP:
        server = self.server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=None if server.password is None else server.password.reveal(),
            local_hostname=server.sender.rpartition("@")[2],
            timeout=server.connect_seconds,
            use_tls=server.tls is SmtpTls.IMPLICIT,
            start_tls=server.tls is SmtpTls.STARTTLS,
        )

    async def _told(self, connection: Connection, envelope: Envelope) -> Connection:
        """Nothing of the mail is sent yet: whatever goes wrong here, nobody has got it."""
        try:
            await connection.client.mail(envelope.return_path)
            await connection.client.rcpt(envelope.recipient)
            return connection
        except BaseException as error:
            connection.close()
            if isinstance(error, (SMTPException, OSError)):
                raise _meaning_of(error) from error
            raise


def _meaning_of(error: SMTPException | OSError) -> Exception:
    """Also a refusal of our sender or our password is for later: ops can mend that, the recipient
    cannot."""
    if isinstance(error, SMTPRecipientRefused) and error.code >= 500:
        return AddressRefused()
    closing = isinstance(error, SMTPResponseException) and error.code == _CLOSING
    gone = isinstance(error, (SMTPServerDisconnected, SMTPTimeoutError, OSError))
    return _Stale() if closing or gone else TryLater()
