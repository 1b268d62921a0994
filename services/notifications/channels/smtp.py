"""Mail by SMTP, in two steps: everything that can be refused first, then the mail itself.

Between the two the caller commits that it is transmitting. Until the server has all of the mail,
a failure means that nothing was sent; from then on, silence means that nobody knows.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

import aiosmtplib
from aiosmtplib import SMTPException, SMTPRecipientRefused, SMTPResponse

from services.chassis.logs import get_logger
from services.chassis.settings import Secret
from services.chassis.telemetry import counter
from services.notifications.channels.failures import (
    AddressRefused,
    ChannelFailure,
    MailRefused,
    NoAnswer,
    TryLater,
)
from services.notifications.domain.mail import wire_address

# Together well within a claim's lease.
CONNECT_SECONDS = 5.0
MAIL_SECONDS = 30.0
_QUIT_SECONDS = 1.0
_START_INPUT = 354
_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)

TRIES = counter("mail_tries_total", "Mails handed, or nearly handed, to the server.", ("outcome",))

log = get_logger()


class SmtpTls(StrEnum):
    OFF = "off"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where mail is handed over. `sender` is the bare address of the envelope.

    `connect_seconds` bounds each step before the mail itself, `mail_seconds` the answer to it.
    """

    host: str
    port: int
    sender: str
    username: str | None = None
    password: Secret | None = None
    tls: SmtpTls = SmtpTls.OFF
    connect_seconds: float = CONNECT_SECONDS
    mail_seconds: float = MAIL_SECONDS


class Transmission:
    """A server that has accepted sender and recipient, and waits for the mail."""

    def __init__(self, client: aiosmtplib.SMTP, server: SmtpServer) -> None:
        self._client = client
        self._server = server

    async def send(self, mail: bytes) -> None:
        """Returns once the server has taken it. Raises TryLater, MailRefused or NoAnswer."""
        data = _LEADING_DOT.sub(b"..", mail) + b".\r\n"
        try:
            ready = await self._client.execute_command(b"DATA")
        except (SMTPException, OSError) as error:
            raise TryLater from error
        if ready.code != _START_INPUT:
            raise _refused(ready.code)
        _check(await self._answer_to(data))
        TRIES.labels("sent").inc()
        log.info("mail_sent")

    async def _answer_to(self, data: bytes) -> SMTPResponse:
        protocol = self._client.protocol
        if protocol is None or not protocol.is_connected:
            raise TryLater
        protocol.write(data)
        try:
            return await protocol.read_response(timeout=self._server.mail_seconds)
        except (SMTPException, OSError) as error:
            raise NoAnswer from error


class SmtpChannel:
    """A connection a mail: simple, and one mail's trouble is no other's."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    @asynccontextmanager
    async def open(self, address: str) -> AsyncIterator[Transmission]:
        """A server ready for one mail to this address. Raises TryLater or AddressRefused."""
        client = self._client()
        try:
            await self._prepare(client, address)
            yield Transmission(client, self._server)
            await _say_goodbye(client)
        except ChannelFailure as failure:
            TRIES.labels(failure.outcome.lower()).inc()
            code = getattr(failure.__cause__, "code", None)
            log.warning("mail_not_sent", cause=failure.outcome, code=code)
            raise
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
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

    async def _prepare(self, client: aiosmtplib.SMTP, address: str) -> None:
        try:
            recipient = wire_address(address)
        except ValueError as error:
            raise AddressRefused from error
        try:
            await client.connect()
            await client.mail(self._server.sender)
            await client.rcpt(recipient)
        except SMTPRecipientRefused as error:
            raise (AddressRefused if error.code >= 500 else TryLater) from error
        except (SMTPException, OSError) as error:
            # Also a refusal of our sender or our password: ops can mend that, the recipient not.
            raise TryLater from error


def _check(response: SMTPResponse) -> None:
    if response.code // 100 != 2:
        raise _refused(response.code)


def _refused(code: int) -> ChannelFailure:
    return MailRefused() if code >= 500 else TryLater()


async def _say_goodbye(client: aiosmtplib.SMTP) -> None:
    """A courtesy; what was said before counts in any case."""
    with suppress(SMTPException, OSError):
        await client.quit(timeout=_QUIT_SECONDS)
