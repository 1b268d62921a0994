"""The HTTP/2 door: requests in, replies out, in the clear and without an upgrade."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from deploy.local.pushes.faults import Faults

# What Apple and Google allow, as one reads.
_STREAMS = 100
_MOST_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class StreamRefused(Exception):
    """Nobody looked at the request."""


class StreamBroken(Exception):
    """The stream ends without a reply."""


class ConnectionBroken(Exception):
    """The connection ends without a word."""


Answer = Callable[[Request], Awaitable[Reply]]


@dataclass(slots=True)
class _Incoming:
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


class Protocol(asyncio.Protocol):
    """One connection; every request is answered by a task of its own."""

    def __init__(self, answer: Answer, faults: Faults) -> None:
        self._answer = answer
        self._faults = faults
        config = H2Configuration(client_side=False, header_encoding="utf-8")
        self._connection = H2Connection(config)
        self._transport: asyncio.Transport | None = None
        self._incoming: dict[int, _Incoming] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._faults.deaf:
            transport.pause_reading()
            return
        self._connection.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: _STREAMS})
        self._connection.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._faults.deaf:
            return
        try:
            for event in self._connection.receive_data(data):
                self._take(event)
        except ProtocolError:
            self._drop()
            return
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        for task in self._tasks.values():
            task.cancel()

    def hang_up(self) -> None:
        """Say good-bye and close, as one who has other things to do."""
        if self._transport is not None and not self._transport.is_closing():
            self._connection.close_connection()
            self._flush()
            self._transport.close()

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(id), headers=list(headers)):
                self._incoming[id] = _Incoming({str(name): str(value) for name, value in headers})
            case DataReceived(stream_id=int(id), data=bytes(data), flow_controlled_length=int(n)):
                self._connection.acknowledge_received_data(n, id)
                self._gather(id, data)
            case StreamEnded(stream_id=int(id)) if id in self._incoming:
                self._begin(id, self._incoming.pop(id))
            case StreamReset(stream_id=int(id)):
                self._incoming.pop(id, None)
                if task := self._tasks.get(id):
                    task.cancel()

    def _gather(self, id: int, data: bytes) -> None:
        incoming = self._incoming.get(id)
        if incoming is None:
            return
        incoming.body += data
        if len(incoming.body) > _MOST_BODY_BYTES:
            del self._incoming[id]
            self._connection.reset_stream(id, ErrorCodes.ENHANCE_YOUR_CALM)

    def _begin(self, id: int, incoming: _Incoming) -> None:
        headers = incoming.headers
        request = Request(
            headers.get(":method", ""), headers.get(":path", ""), headers, bytes(incoming.body)
        )
        task = self._tasks[id] = asyncio.create_task(self._serve(id, request))
        task.add_done_callback(lambda _: self._tasks.pop(id, None))

    async def _serve(self, id: int, request: Request) -> None:
        try:
            reply = await self._answer(request)
        except StreamRefused:
            self._connection.reset_stream(id, ErrorCodes.REFUSED_STREAM)
        except StreamBroken:
            self._connection.reset_stream(id, ErrorCodes.INTERNAL_ERROR)
        except ConnectionBroken:
            self._drop()
            return
        else:
            self._say(id, reply)
        self._flush()

    def _say(self, id: int, reply: Reply) -> None:
        """Replies are far smaller than what a client lets come at once."""
        headers = [
            (":status", str(reply.status)),
            ("content-length", str(len(reply.body))),
            *reply.headers.items(),
        ]
        self._connection.send_headers(id, headers, end_stream=not reply.body)
        if reply.body:
            self._connection.send_data(id, reply.body, end_stream=True)

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(self._connection.data_to_send())

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
