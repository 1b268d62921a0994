"""The HTTP door: a page for people, JSON for tests."""

import asyncio
import json
from http import HTTPStatus
from pathlib import Path

from deploy.local.mailbox.faults import Faults, MalformedFault, parse
from deploy.local.mailbox.store import Mail, Mailbox
from deploy.local.web import Request, Response, error_response, json_response, serve_one

_PAGE = Path(__file__).with_name("page")
_PAGE_FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# In the frame of a mail no script either.
_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


class Web:
    def __init__(self, mailbox: Mailbox, faults: Faults) -> None:
        self._mailbox = mailbox
        self._faults = faults

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        await serve_one(reader, writer, self._answer)

    def _answer(self, request: Request) -> Response:
        match request.method, request.path.split("/")[1:]:
            case "GET", ["livez"]:
                return json_response({"live": True})
            case "GET", ["messages"]:
                to, after = (request.query.get(name, [""])[0] for name in ("to", "after"))
                mails = self._mailbox.list(to=to, after=after)
                return json_response([mail.as_json() for mail in mails])
            case "DELETE", ["messages"]:
                self._mailbox.clear()
                return json_response({})
            case "GET", ["messages", id, *rest] if mail := self._mailbox.get(id):
                return _mail(mail, rest)
            case _, ["faults"]:
                return self._program(request)
            case "GET", _ if request.path in _PAGE_FILES:
                file = _PAGE / _PAGE_FILES[request.path]
                return Response(HTTPStatus.OK, file.read_bytes(), kind=_KINDS[file.suffix])
        return error_response(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _program(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                self._faults.set(parse(json.loads(request.body)))
            except (MalformedFault, ValueError) as error:
                return error_response(HTTPStatus.BAD_REQUEST, str(error))
        elif request.method == "DELETE":
            self._faults.clear()
        return json_response(self._faults.as_json())


def _mail(mail: Mail, rest: list[str]) -> Response:
    match rest:
        case []:
            return json_response({**mail.as_json(), "raw": mail.raw.decode(errors="replace")})
        case ["html"]:
            # Links of a mail open in a tab of their own, not in the frame.
            page = f'{mail.part("html")}<base target="_blank">'
            return Response(HTTPStatus.OK, page.encode(), kind="text/html", policy=_MAIL_POLICY)
    return error_response(HTTPStatus.NOT_FOUND, "There is nothing here.")
