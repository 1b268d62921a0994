"""The HTTP door: a page for people, JSON for tests."""

import asyncio
from http import HTTPStatus
from pathlib import Path

from deploy.local.faults import program
from deploy.local.pushes.credentials import Google
from deploy.local.pushes.faults import Faults, parse
from deploy.local.pushes.store import Pushes
from deploy.local.web import (
    Request,
    Response,
    error_response,
    json_response,
    page_file,
    serve_one,
)

_PAGE = Path(__file__).with_name("page")


class Web:
    def __init__(self, pushes: Pushes, faults: Faults, google: Google) -> None:
        self._pushes = pushes
        self._faults = faults
        self._google = google

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        await serve_one(reader, writer, self._answer)

    def _answer(self, request: Request) -> Response:
        match request.method, request.path:
            case "GET", "/livez":
                return json_response({"live": True})
            case "GET", "/pushes":
                to, after = (request.query.get(name, [""])[0] for name in ("to", "after"))
                pushes = self._pushes.list(to=to, after=after)
                return json_response([push.as_json() for push in pushes])
            case "DELETE", "/pushes":
                self._pushes.clear()
                return json_response({})
            case "DELETE", "/access-tokens":
                self._google.revoke()
                return json_response({})
            case _, "/faults":
                return program(self._faults, request, parse=parse)
            case "GET", path:
                return page_file(_PAGE, path)
        return error_response(HTTPStatus.NOT_FOUND, "There is nothing here.")
