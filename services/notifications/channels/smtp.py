"""Mail by SMTP, in two steps: everything that can be refused first, then the mail itself.

Between the two the caller commits that it is transmitting. Until the server has all of the mail,
a failure means that nothing was sent; from then on, silence means that nobody knows.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiosmtplib import SMTPException, SMTPResponse

from services.chassis.logs import get_logger
from services.chassis.telemetry import counter
from services.notifications.channels.failures import (
    AddressRefused,
    ChannelFailure,
    MailRefused,
    NoAnswer,
    TryLater,
)
from services.notifications.channels.smtp_connections import (
    Connection,
    Connections,
    Envelope,
    SmtpServer,
    SmtpTls,
)
from services.notifications.domain.mail import wire_address

__all__ = ["SmtpChannel", "SmtpServer", "SmtpTls", "Transmission"]

_START_INPUT = 354
_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)

TRIES = counter("mail_tries_total", "Mails handed, or nearly handed, to the server.", ("outcome",))

log = get_logger()


class Transmission:
    """A server that has accepted sender and recipient, and waits for the mail."""

    def __init__(self, connection: Connection, server: SmtpServer, *, until: float) -> None:
        self._client = connection.client
        self._server = server
        self._until = until
        self.taken = False

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
        self.taken = True
        TRIES.labels("sent").inc()
        log.info("mail_sent")

    async def _answer_to(self, data: bytes) -> SMTPResponse:
        protocol = self._client.protocol
        if protocol is None or not protocol.is_connected:
            raise TryLater
        left = self._until - asyncio.get_running_loop().time()
        protocol.write(data)
        try:
            # However long the steps before took: who asks too early never knows.
            return await protocol.read_response(timeout=max(left, self._server.mail_seconds / 2))
        except (SMTPException, OSError) as error:
            raise NoAnswer from error


class SmtpChannel:
    """The servers are asked in order, and the next one where one has no use for us before the
    mail itself; whoever was out of reach a moment ago is asked last."""

    def __init__(self, *servers: SmtpServer) -> None:
        self._hosts = [Connections(server) for server in servers]

    @asynccontextmanager
    async def open(
        self, address: str, *, return_path: str | None = None
    ) -> AsyncIterator[Transmission]:
        """A server ready for one mail to this address. Raises TryLater or AddressRefused.

        What cannot be delivered later comes back to `return_path`, or else to the sender.
        """
        try:
            async with self._ready(_wire(address), return_path) as transmission:
                yield transmission
        except ChannelFailure as failure:
            TRIES.labels(failure.outcome.lower()).inc()
            code = getattr(failure.__cause__, "code", None)
            error = type(failure.__cause__).__name__
            log.warning("mail_not_sent", cause=failure.outcome, code=code, error=error)
            raise

    async def close(self) -> None:
        """Ends the connections that wait for a further mail."""
        for host in self._hosts:
            host.close()

    @asynccontextmanager
    async def _ready(self, recipient: str, return_path: str | None) -> AsyncIterator[Transmission]:
        failure, until = TryLater(), None
        for host in sorted(self._hosts, key=lambda host: host.avoided):
            server = host.server
            envelope = Envelope(return_path or server.sender, recipient)
            async with host:
                until = until or asyncio.get_running_loop().time() + server.mail_seconds
                try:
                    async with asyncio.timeout_at(until - server.mail_seconds / 2):
                        connection = await host.ready_for(envelope)
                except TryLater as error:
                    failure = error
                    continue
                except TimeoutError:
                    continue
                async with _kept(host, connection, until=until) as transmission:
                    yield transmission
                return
        raise failure


@asynccontextmanager
async def _kept(
    host: Connections, connection: Connection, *, until: float
) -> AsyncIterator[Transmission]:
    """Kept after a mail that was taken; whatever else happened leaves what nobody can rely on."""
    transmission = Transmission(connection, host.server, until=until)
    try:
        yield transmission
    finally:
        if transmission.taken:
            host.keep(connection)
        else:
            connection.close()


def _wire(address: str) -> str:
    try:
        return wire_address(address)
    except ValueError as error:
        raise AddressRefused from error


def _check(response: SMTPResponse) -> None:
    if response.code // 100 != 2:
        raise _refused(response.code)


def _refused(code: int) -> ChannelFailure:
    return MailRefused() if code >= 500 else TryLater()
