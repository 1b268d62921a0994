"""A tiny HTTP/1.1 server for what is not gRPC: metrics and probes; what the world reaches, on a
listener of its own.

One request a connection, everything bounded; no body is ever logged.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from services.chassis.listener import Listener
from services.chassis.logs import get_logger

_HEAD_BYTES = 8 * 1024
_BODY_BYTES = 16 * 1024
_SECONDS = 5.0
_CONNECTIONS = 64
_REASONS = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

log = get_logger()


@dataclass(frozen=True, slots=True)
class Request:
    """`query` is what stands after the question mark, as it came; header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


Route = Callable[[Request], Awaitable[Response]]
Routes = Mapping[tuple[str, str], Route]


def as_json(status: int, value: object) -> Response:
    return Response(status, json.dumps(value).encode(), "application/json")


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


class HttpServer(Listener):
    """Serves `routes`, by method and path; HEAD is answered as GET without its body."""

    def __init__(self, address: str, routes: Routes) -> None:
        super().__init__(
            address, connections=_CONNECTIONS, seconds=_SECONDS, line_bytes=_HEAD_BYTES
        )
        self._routes = routes

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await self._answer(reader))
        await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            request = await _read(reader)
            response = await self._respond(request)
            return _encode(response, body=request.method != "HEAD")
        except _Refused as refused:
            return _encode(Response(refused.status))
        except Exception as error:
            log.error("http_failed", exc_info=error)
            return _encode(Response(500))

    async def _respond(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if route := self._routes.get((method, request.path)):
            return await route(request)
        known = any(path == request.path for _, path in self._routes)
        return Response(405 if known else 404)


async def _read(reader: asyncio.StreamReader) -> Request:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _version = first.split(" ")
    except (asyncio.LimitOverrunError, ValueError):
        raise _Refused(400) from None
    except asyncio.IncompleteReadError as error:
        raise ConnectionError from error
    path, _, query = target.partition("?")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return Request(method, path, query, headers, await _body(reader, headers))


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    length = headers.get("content-length", "0")
    if not length.isdecimal() or "transfer-encoding" in headers:
        raise _Refused(400)
    if int(length) > _BODY_BYTES:
        raise _Refused(413)
    return await reader.readexactly(int(length))


def _encode(response: Response, *, body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Status')}\r\n"
        f"content-type: {response.content_type}\r\n"
        f"content-length: {len(response.body)}\r\n"
        "cache-control: no-store\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (response.body if body else b"")
