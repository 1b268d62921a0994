"""HTTP/2 to one push service: one connection, a stream a push, and what a failure means.

A push service acts on a request once it has all of it. So what fails before that was not sent, and
may be sent again; from then on nobody knows.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2
from h2.errors import ErrorCodes
from h2.events import StreamReset

from services.chassis.clock import Clock, system_clock
from services.notifications.channels.failures import NoAnswer, TryLater
from services.notifications.channels.push_lanes import Lane

PUSH_SECONDS = 10.0
_CONNECT_SECONDS = 5.0
# A push service drops connections that were idle for longer, not always with a word.
_IDLE_SECONDS = 60.0
_LIMITS = httpx2.Limits(
    max_connections=1, max_keepalive_connections=1, keepalive_expiry=_IDLE_SECONDS
)
_TIMEOUTS = {"connect": _CONNECT_SECONDS, "read": None, "write": None, "pool": None}
_SERVER_ERROR = 500
_LONGEST_WAIT_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Reply:
    """`retry_after` is when the service wants to hear of it again, where it said so."""

    status: int
    body: bytes
    retry_after: datetime | None


class _Body(httpx2.AsyncByteStream):
    """`is_out` from the moment on at which all of it was written; what ends the request follows.

    A connection that closes before it has looked at the request makes the library begin again.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.is_out = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.is_out = False
        yield self._content
        self.is_out = True


class _Connection:
    """Used by some pushes at once; closed when it is given up and the last of them has ended."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._transport = httpx2.AsyncHTTPTransport(
            verify=context, http1=False, http2=True, limits=_LIMITS
        )
        self._asked_of: Callable[[str], object] | None = None
        self.users = 0
        self.given_up = False

    @property
    def is_fit(self) -> bool:
        """Something to read while nothing was asked is, as a rule, the service's good-bye."""
        idle = self._asked_of is not None and not self.users
        return not (self.given_up or (idle and self._asked_of and self._asked_of("is_readable")))

    async def exchange(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._transport.handle_async_request(request)
        self._asked_of = response.extensions["network_stream"].get_extra_info
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    async def close(self) -> None:
        await self._transport.aclose()


class Transport:
    """`base_url` of http speaks HTTP/2 in the clear, without asking first."""

    def __init__(
        self, base_url: str, *, clock: Clock = system_clock, seconds: float = PUSH_SECONDS
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._host = urlsplit(base_url).netloc
        self._clock = clock
        self._seconds = seconds
        self._lane = Lane(clock)
        self._context = httpx2.create_ssl_context()
        self._connection = _Connection(self._context)

    async def post(self, path: str, *, headers: Mapping[str, str], content: bytes) -> Reply:
        """The service's reply, whatever it says. Raises TryLater where it cannot have acted on the
        request, NoAnswer where it may have."""
        async with self._lane.turn():
            response = await self._exchange(path, headers, content)
        reply = Reply(response.status_code, response.content, self._retry_after(response))
        if reply.status >= _SERVER_ERROR:
            self._lane.failed(not_before=reply.retry_after)
        else:
            self._lane.succeeded()
        return reply

    async def _exchange(
        self, path: str, headers: Mapping[str, str], content: bytes
    ) -> httpx2.Response:
        body = _Body(content)
        request = httpx2.Request(
            "POST",
            f"{self._base_url}{path}",
            headers={**headers, "host": self._host, "content-length": str(len(content))},
            stream=body,
            extensions={"timeout": _TIMEOUTS},
        )
        async with self._use() as connection:
            try:
                async with asyncio.timeout(self._seconds):
                    return await connection.exchange(request)
            except (TimeoutError, httpx2.TransportError) as error:
                connection.given_up = True
                if body.is_out and not _refused_unseen(error):
                    raise NoAnswer from error
                raise TryLater from error

    @asynccontextmanager
    async def _use(self) -> AsyncIterator[_Connection]:
        if not self._connection.is_fit:
            left, self._connection = self._connection, _Connection(self._context)
            if not left.users:
                await left.close()
        connection = self._connection
        connection.users += 1
        try:
            yield connection
        finally:
            connection.users -= 1
            if connection is not self._connection and not connection.users:
                await connection.close()

    def _retry_after(self, response: httpx2.Response) -> datetime | None:
        """Given in seconds or as a date (RFC 9110, 10.2.3); None where it is neither."""
        said = response.headers.get("retry-after", "").strip()
        if said.isascii() and said.isdigit():
            return self._clock() + timedelta(seconds=min(int(said), _LONGEST_WAIT_SECONDS))
        try:
            return parsedate_to_datetime(said).astimezone(UTC) if said else None
        except ValueError:
            return None

    async def close(self) -> None:
        await self._connection.close()


def _refused_unseen(error: Exception) -> bool:
    """The service says of this stream that it did not look at it (RFC 9113, 8.7)."""
    cause = error.__cause__
    event = cause.args[0] if cause is not None and cause.args else None
    return isinstance(event, StreamReset) and event.error_code == ErrorCodes.REFUSED_STREAM
