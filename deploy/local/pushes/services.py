"""What Google and Apple answer: to a sign-in, and to a push."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import parse_qsl

from deploy.local.pushes.credentials import Apple, Google, Refused
from deploy.local.pushes.faults import Fault, Faults
from deploy.local.pushes.http2 import (
    ConnectionBroken,
    Reply,
    Request,
    StreamBroken,
    StreamRefused,
)
from deploy.local.pushes.store import Pushes

SIGN_IN = "/token"
_SENT = "messages:send"
_DEVICE = "/3/device/"
_MOST_APPLE_BYTES = 4096
_KINDS = ("alert", "background")


class Malformed(Exception):
    """The message is the reason in the service's own word."""


class PushServices:
    """Both on one door: their paths tell them apart."""

    def __init__(self, google: Google, apple: Apple, pushes: Pushes, faults: Faults) -> None:
        self._google = google
        self._apple = apple
        self._pushes = pushes
        self._faults = faults

    async def answer(self, request: Request) -> Reply:
        if request.path == SIGN_IN:
            return await self._sign_in(request)
        if request.path.endswith(_SENT):
            return await self._fcm(request)
        if request.path.startswith(_DEVICE):
            return await self._apns(request)
        return Reply(HTTPStatus.NOT_FOUND)

    async def _sign_in(self, request: Request) -> Reply:
        form = dict(parse_qsl(request.body.decode(errors="replace")))
        fault = self._faults.of("oauth")
        if fault is not None and fault.token == "oauth":
            if fault.status is not None:
                return _refusal(fault, {"error": fault.reason})
            await self._act_out(fault)
        try:
            return _json(HTTPStatus.OK, self._google.sign_in(form))
        except Refused as refused:
            return _json(HTTPStatus.BAD_REQUEST, {"error": str(refused)})

    async def _fcm(self, request: Request) -> Reply:
        try:
            self._google.check(request.headers.get("authorization", ""))
        except Refused as refused:
            return _json(HTTPStatus.UNAUTHORIZED, _google_error(str(refused)))
        try:
            token, message = _message(request.body)
        except Malformed as malformed:
            return _json(HTTPStatus.BAD_REQUEST, _google_error(str(malformed)))
        fault = self._faults.of(token)
        if fault is not None and fault.status is not None:
            return _refusal(fault, _google_error(fault.reason))
        await self._take("fcm", token, fault, headers={}, payload=message)
        return _json(HTTPStatus.OK, {"name": f"{request.path[4:].rpartition('/')[0]}/messages/1"})

    async def _apns(self, request: Request) -> Reply:
        token = request.path.removeprefix(_DEVICE)
        try:
            self._apple.check(request.headers.get("authorization", ""))
            payload = _payload(request)
        except Refused as refused:
            return _json(HTTPStatus.FORBIDDEN, {"reason": str(refused)})
        except Malformed as malformed:
            return _json(HTTPStatus.BAD_REQUEST, {"reason": str(malformed)})
        fault = self._faults.of(token)
        if fault is not None and fault.status is not None:
            return _refusal(fault, {"reason": fault.reason})
        headers = {
            name: value for name, value in request.headers.items() if name.startswith("apns-")
        }
        await self._take("apns", token, fault, headers=headers, payload=payload)
        return Reply(HTTPStatus.OK)

    async def _take(
        self,
        service: str,
        token: str,
        fault: Fault | None,
        *,
        headers: Mapping[str, str],
        payload: Mapping[str, object],
    ) -> None:
        if fault is not None and fault.reset == "refused":
            raise StreamRefused
        self._pushes.add(
            service,
            token,
            headers=headers,
            payload=payload,
            at=datetime.now(UTC),
            answered=fault is None or fault.slow is not None,
        )
        if fault is not None:
            await self._act_out(fault)

    async def _act_out(self, fault: Fault) -> None:
        if fault.reset == "connection":
            raise ConnectionBroken
        if fault.reset is not None:
            raise StreamBroken
        if fault.hang is not None:
            await self._faults.hang()
        if fault.slow is not None:
            await asyncio.sleep(fault.slow)


def _message(body: bytes) -> tuple[str, Mapping[str, object]]:
    """The token and the message of a send. Raises Malformed."""
    message = _object(_parsed(body, "INVALID_ARGUMENT").get("message"), "INVALID_ARGUMENT")
    data = _object(message.get("data", {}), "INVALID_ARGUMENT")
    token = message.get("token")
    if not isinstance(token, str) or not all(isinstance(value, str) for value in data.values()):
        raise Malformed("INVALID_ARGUMENT")
    return token, {name: value for name, value in message.items() if name != "token"}


def _payload(request: Request) -> Mapping[str, object]:
    """What Apple checks. Raises Malformed."""
    if len(request.body) > _MOST_APPLE_BYTES:
        raise Malformed("PayloadTooLarge")
    payload = _parsed(request.body, "BadMessageId")
    aps = _object(payload.get("aps"), "PayloadEmpty")
    kind = request.headers.get("apns-push-type")
    if not request.headers.get("apns-topic"):
        raise Malformed("MissingTopic")
    if kind not in _KINDS:
        raise Malformed("InvalidPushType")
    if len(request.headers.get("apns-collapse-id", "").encode()) > 64:
        raise Malformed("BadCollapseId")
    if not request.headers.get("apns-expiration", "0").isdigit():
        raise Malformed("BadExpirationDate")
    # Apple says of a background push that it is one thing only.
    background = aps == {"content-available": 1} and request.headers.get("apns-priority") == "5"
    if kind == "background" and not background:
        raise Malformed("BadPriority")
    return payload


def _parsed(body: bytes, reason: str) -> Mapping[str, object]:
    try:
        return _object(json.loads(body), reason)
    except ValueError:
        raise Malformed(reason) from None


def _object(value: object, reason: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Malformed(reason)
    return value


def _google_error(reason: str) -> Mapping[str, object]:
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    return {"error": {"status": reason, "details": [{"@type": kind, "errorCode": reason}]}}


def _refusal(fault: Fault, body: Mapping[str, object]) -> Reply:
    assert fault.status is not None
    wait = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    return Reply(fault.status, json.dumps(body).encode(), wait)


def _json(status: HTTPStatus, body: Mapping[str, object]) -> Reply:
    return Reply(status, json.dumps(body).encode(), {"content-type": "application/json"})
