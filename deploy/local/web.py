"""A tiny HTTP server for the pages of a development stack: no framework, nothing from elsewhere."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_MOST_BODY_BYTES = 64 * 1024
_PATIENCE_SECONDS = 10
_PAGE_FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
PAGE_POLICY = "default-src 'self'; frame-src 'self'"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    host: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    status: HTTPStatus
    body: bytes
    kind: str = "application/json"
    policy: str = PAGE_POLICY


class Malformed(Exception):
    """Not HTTP as we understand it."""


async def serve_one(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Callable[[Request], Response],
) -> None:
    """One request a connection."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            writer.write(_as_bytes(await _respond(reader, answer)))
            await writer.drain()
    except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
        pass  # The client is gone; there is nobody to tell.
    finally:
        writer.close()


async def _respond(reader: asyncio.StreamReader, answer: Callable[[Request], Response]) -> Response:
    try:
        request = await _read(reader)
    except (Malformed, ValueError) as error:
        return error_response(HTTPStatus.BAD_REQUEST, str(error))
    if request.host not in ("127.0.0.1", "localhost"):
        # Another site's page that made its own name point here may not read what is here.
        return error_response(HTTPStatus.FORBIDDEN, "Only for this machine.")
    return answer(request)


def json_response(value: object) -> Response:
    return Response(HTTPStatus.OK, json.dumps(value).encode())


def error_response(status: HTTPStatus, sentence: str) -> Response:
    return Response(status, json.dumps({"error": sentence}).encode())


def page_file(folder: Path, path: str) -> Response:
    """One of the files of a page, which its folder holds; there are no others."""
    if path not in _PAGE_FILES:
        return error_response(HTTPStatus.NOT_FOUND, "There is nothing here.")
    file = folder / _PAGE_FILES[path]
    return Response(HTTPStatus.OK, file.read_bytes(), kind=_KINDS[file.suffix])


async def _read(reader: asyncio.StreamReader) -> Request:
    line = (await reader.readline()).decode("latin-1").split()
    if len(line) != 3:
        raise Malformed("Not a request line.")
    headers = await _read_headers(reader)
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _MOST_BODY_BYTES:
        raise Malformed("Too long.")
    target = urlsplit(line[1])
    host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
    body = await reader.readexactly(length)
    return Request(line[0], target.path, parse_qs(target.query), host, body)


async def _read_headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return headers


def _as_bytes(response: Response) -> bytes:
    lines = [
        f"HTTP/1.1 {response.status.value} {response.status.phrase}",
        f"Content-Type: {response.kind}; charset=utf-8",
        f"Content-Length: {len(response.body)}",
        f"Content-Security-Policy: {response.policy}",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + response.body
