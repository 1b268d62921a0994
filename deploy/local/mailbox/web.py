"""The HTTP door: a page for people, JSON for tests."""

import asyncio
from http import HTTPStatus
from pathlib import Path

from deploy.local.faults import program
from deploy.local.mailbox.faults import Faults, parse
from deploy.local.mailbox.store import Mail, Mailbox
from deploy.local.web import (
    Request,
    Response,
    error_response,
    json_response,
    page_file,
    serve_one,
)

_PAGE = Path(__file__).with_name("page")
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
                return program(self._faults, request, parse=parse)
            case "GET", _:
                return page_file(_PAGE, request.path)
        return error_response(HTTPStatus.NOT_FOUND, "There is nothing here.")


def _mail(mail: Mail, rest: list[str]) -> Response:
    match rest:
        case []:
            return json_response({**mail.as_json(), "raw": mail.raw.decode(errors="replace")})
        case ["html"]:
            # Links of a mail open in a tab of their own, not in the frame.
            page = f'{mail.part("html")}<base target="_blank">'
            return Response(HTTPStatus.OK, page.encode(), kind="text/html", policy=_MAIL_POLICY)
    return error_response(HTTPStatus.NOT_FOUND, "There is nothing here.")
