"""The HTTP door: a page for people, JSON for tests. Small enough to need no framework."""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from deploy.local.mailbox.faults import Faults, MalformedFault, parse
from deploy.local.mailbox.store import Mail, Mailbox

_PAGE = Path(__file__).with_name("page")
_PAGE_FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_MOST_BODY_BYTES = 64 * 1024
_PATIENCE_SECONDS = 10
# Nothing from elsewhere, and in the frame of a mail no script either.
_PAGE_POLICY = "default-src 'self'; frame-src 'self'"
_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


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
    policy: str = _PAGE_POLICY


class Malformed(Exception):
    """Not HTTP as we understand it."""


class Web:
    def __init__(self, mailbox: Mailbox, faults: Faults) -> None:
        self._mailbox = mailbox
        self._faults = faults

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                writer.write(_as_bytes(await self._respond(reader)))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass  # The client is gone; there is nobody to tell.
        finally:
            writer.close()

    async def _respond(self, reader: asyncio.StreamReader) -> Response:
        try:
            request = await _read(reader)
        except (Malformed, ValueError) as error:
            return _error(HTTPStatus.BAD_REQUEST, str(error))
        if request.host not in ("127.0.0.1", "localhost"):
            # Another site's page that made its own name point here may not read the mail.
            return _error(HTTPStatus.FORBIDDEN, "Only for this machine.")
        return self._answer(request)

    def _answer(self, request: Request) -> Response:
        match request.method, request.path.split("/")[1:]:
            case "GET", ["livez"]:
                return _json({"live": True})
            case "GET", ["messages"]:
                to, after = (request.query.get(name, [""])[0] for name in ("to", "after"))
                mails = self._mailbox.list(to=to, after=after)
                return _json([mail.as_json() for mail in mails])
            case "DELETE", ["messages"]:
                self._mailbox.clear()
                return _json({})
            case "GET", ["messages", id, *rest] if mail := self._mailbox.get(id):
                return _mail(mail, rest)
            case _, ["faults"]:
                return self._program(request)
            case "GET", _ if request.path in _PAGE_FILES:
                file = _PAGE / _PAGE_FILES[request.path]
                return Response(HTTPStatus.OK, file.read_bytes(), kind=_KINDS[file.suffix])
        return _error(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _program(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                self._faults.set(parse(json.loads(request.body)))
            except (MalformedFault, ValueError) as error:
                return _error(HTTPStatus.BAD_REQUEST, str(error))
        elif request.method == "DELETE":
            self._faults.clear()
        return _json(self._faults.as_json())


def _mail(mail: Mail, rest: list[str]) -> Response:
    match rest:
        case []:
            return _json({**mail.as_json(), "raw": mail.raw.decode(errors="replace")})
        case ["html"]:
            # Links of a mail open in a tab of their own, not in the frame.
            page = f'{mail.part("html")}<base target="_blank">'
            return Response(HTTPStatus.OK, page.encode(), kind="text/html", policy=_MAIL_POLICY)
    return _error(HTTPStatus.NOT_FOUND, "There is nothing here.")


def _json(value: object) -> Response:
    return Response(HTTPStatus.OK, json.dumps(value).encode())


def _error(status: HTTPStatus, sentence: str) -> Response:
    return Response(status, json.dumps({"error": sentence}).encode())


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
