"""One-click unsubscribe (RFC 8058): POST unticks; GET only asks, for scanners follow links."""

from urllib.parse import parse_qs, quote

from services.chassis.errors import NotFound, Unavailable
from services.chassis.http import Request, Response, Routes
from services.notifications.channels.unsubscribe import TokenInvalid, UnsubscribeTokens
from services.notifications.clients.directory import Directory
from services.notifications.usecases.unsubscribe import Unsubscribe, unsubscribe

PATH = "/unsubscribe"
_HTML = "text/html; charset=utf-8"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer"><title>E-mail about new messages</title>
<style>
body {{ margin: 0; background: #eef2f5; color: #17212b;
  font: 16px/1.5 -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; }}
main {{ max-width: 26rem; margin: 18vh auto 0; padding: 2.2rem; background: #fff;
  border: 1px solid #dbe2e8; border-radius: 12px; }}
button {{ padding: .7rem 1.4rem; border: 0; border-radius: 8px; background: #0f6a73;
  color: #fff; font: inherit; font-weight: 600; cursor: pointer; }}
</style></head><body><main>{content}</main></body></html>
"""
_QUESTION = """<p>Stop e-mails about new messages?</p>
<form method="post" action="?token={token}"><button>Stop e-mails</button></form>"""
_DONE = """<p>You will get no more e-mails about new messages.</p>
<p>You can ask for them again in your profile.</p>"""
_TICKED_SINCE = """<p>You have asked for these e-mails again since this one was sent.</p>
<p>To stop them, use the link in a newer e-mail, or your profile.</p>"""
_INVALID = "<p>This link is not valid.</p>"
_LATER = "<p>This did not work. Please try again in a few minutes.</p>"


class UnsubscribeDoor:
    """The token is the caller's only proof, and it does nothing else."""

    def __init__(self, tokens: UnsubscribeTokens, directory: Directory) -> None:
        self._tokens = tokens
        self._directory = directory

    def routes(self) -> Routes:
        return {("GET", PATH): self._ask, ("POST", PATH): self._unsubscribe}

    async def _ask(self, request: Request) -> Response:
        token = _token_of(request)
        try:
            self._tokens.open(token)
        except TokenInvalid:
            return _page(400, _INVALID)
        return _page(200, _QUESTION.format(token=quote(token)))

    async def _unsubscribe(self, request: Request) -> Response:
        try:
            mail = self._tokens.open(_token_of(request))
            command = Unsubscribe(
                clinic_id=mail.clinic_id,
                staff_id=mail.staff_id,
                dispatch_id=mail.dispatch_id,
                latest_at=mail.latest_at,
            )
            unticked = await unsubscribe(command, directory=self._directory)
        except (TokenInvalid, NotFound):
            return _page(400, _INVALID)
        except Unavailable:
            return _page(503, _LATER)
        return _page(200, _DONE if unticked else _TICKED_SINCE)


def _token_of(request: Request) -> str:
    return parse_qs(request.query).get("token", [""])[0]


def _page(status: int, content: str) -> Response:
    return Response(status, _PAGE.format(content=content).encode(), _HTML)
