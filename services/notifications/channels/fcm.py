"""Firebase Cloud Messaging, HTTP v1: a small client of our own.

The access token comes from the OAuth endpoint that the service account names, for a JWT that the
account's key has signed (RFC 7523). It is renewed ahead of its end, so that a sign-in that fails
for some minutes stops no push.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from services.chassis.clock import Clock
from services.chassis.logs import get_logger
from services.notifications.channels.failures import (
    ChannelFailure,
    DeviceGone,
    NoAnswer,
    PushRefused,
    TryLater,
)
from services.notifications.channels.push_replies import word, words_of
from services.notifications.channels.push_transport import Reply, Transport
from services.notifications.domain.push import WORDS, Push

_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_LIFETIME = timedelta(hours=1)
# Renewed with so much left; used until the end where that does not work.
_AHEAD = timedelta(minutes=5)

log = get_logger()


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What Google's JSON file says of an account."""

    project_id: str
    client_email: str
    token_uri: str
    key_id: str
    key: RSAKey = field(repr=False)

    @property
    def origin(self) -> str:
        """Where it signs in, without the path."""
        parts = urlsplit(self.token_uri)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    renew_at: datetime
    ends_at: datetime


class AccessTokens:
    """One token at a time; whoever finds none waits for the one call that fetches it."""

    def __init__(self, account: ServiceAccount, transport: Transport, *, clock: Clock) -> None:
        self._account = account
        self._transport = transport
        self._clock = clock
        self._token: _Token | None = None
        self._fetching = asyncio.Lock()

    async def get(self) -> str:
        """Raises TryLater or PushRefused where none can be had."""
        if (token := self._fresh()) is None:
            async with self._fetching:
                token = self._fresh() or await self._renewed()
        return token.text

    def forget(self, text: str) -> None:
        """The service does not take this one any more."""
        if self._token is not None and self._token.text == text:
            self._token = None

    def _fresh(self) -> _Token | None:
        token = self._token
        return token if token is not None and self._clock() < token.renew_at else None

    async def _renewed(self) -> _Token:
        try:
            self._token = await self._fetched()
        except ChannelFailure:
            if self._token is None or self._clock() >= self._token.ends_at:
                raise
        return self._token

    async def _fetched(self) -> _Token:
        asked_at = self._clock()
        form = urlencode({"grant_type": _GRANT, "assertion": self._assertion(asked_at)})
        try:
            reply = await self._transport.post(
                urlsplit(self._account.token_uri).path,
                headers={"content-type": "application/x-www-form-urlencoded"},
                content=form.encode(),
            )
        except NoAnswer as error:
            raise TryLater from error  # a token that nobody got does no harm
        return _to_token(reply, asked_at)

    def _assertion(self, now: datetime) -> str:
        issued_at = int(now.timestamp())
        claims = {
            "iss": self._account.client_email,
            "scope": _SCOPE,
            "aud": self._account.token_uri,
            "iat": issued_at,
            "exp": issued_at + int(_ASSERTION_LIFETIME.total_seconds()),
        }
        header = {"alg": "RS256", "typ": "JWT", "kid": self._account.key_id}
        return jwt.encode(header, claims, self._account.key, algorithms=["RS256"])

    async def close(self) -> None:
        await self._transport.close()


def _to_token(reply: Reply, asked_at: datetime) -> _Token:
    said = words_of(reply.body)
    text, seconds = said.get("access_token"), said.get("expires_in")
    if reply.status == 200 and isinstance(text, str) and isinstance(seconds, int):
        lifetime = timedelta(seconds=seconds)
        ends_at = asked_at + lifetime
        return _Token(text, max(ends_at - _AHEAD, asked_at + lifetime / 2), ends_at)
    reason = word(said.get("error"))
    log.error("push_sign_in_failed", provider="fcm", status=reply.status, reason=reason)
    if reply.status == 429 or reply.status >= 500:
        raise TryLater(not_before=reply.retry_after)
    raise PushRefused


class Fcm:
    """A provider of the push channel."""

    def __init__(
        self, account: ServiceAccount, *, tokens: AccessTokens, transport: Transport
    ) -> None:
        self._path = f"/v1/projects/{account.project_id}/messages:send"
        self._tokens = tokens
        self._transport = transport

    async def send(self, token: str, push: Push) -> None:
        """Returns once the service has taken it. Raises TryLater, NoAnswer, DeviceGone or
        PushRefused."""
        access_token = await self._tokens.get()
        reply = await self._transport.post(
            self._path,
            headers={
                "authorization": f"Bearer {access_token}",
                "content-type": "application/json",
            },
            content=json.dumps(message(token, push)).encode(),
        )
        if reply.status == 401:
            self._tokens.forget(access_token)
        if reply.status != 200:
            raise _failure(reply)

    async def close(self) -> None:
        await self._tokens.close()
        await self._transport.close()


def _failure(reply: Reply) -> ChannelFailure:
    reason = _error_code(reply)
    if reply.status == 404 and reason == "UNREGISTERED":
        return DeviceGone()
    if reply.status in (401, 429) or reply.status >= 500:
        return TryLater(not_before=reply.retry_after)
    log.error("push_refused", provider="fcm", status=reply.status, reason=reason)
    return PushRefused()


def _error_code(reply: Reply) -> str:
    """FCM's own code among the details, or else Google's status."""
    error = words_of(reply.body).get("error")
    if not isinstance(error, dict):
        return ""
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and "errorCode" in detail:
            return word(detail["errorCode"])
    return word(error.get("status"))


def message(token: str, push: Push) -> Mapping[str, object]:
    """The body of `messages:send`. All data are texts, as FCM wants it."""
    data = {"kind": "clear" if push.silent else "message", "profile_id": str(push.profile_id)}
    if push.conversation_id is not None:
        data["conversation_id"] = str(push.conversation_id)
    if push.badge is not None:
        data["badge"] = str(push.badge)
    android: dict[str, object] = {
        "collapse_key": str(push.collapse_id),
        "priority": "NORMAL" if push.silent else "HIGH",
        "ttl": f"{int(push.lifetime.total_seconds())}s",
    }
    if push.silent:
        return {"message": {"token": token, "data": data, "android": android}}
    shown: dict[str, object] = {"tag": str(push.collapse_id)}
    if push.badge is not None:
        shown["notification_count"] = push.badge
    return {
        "message": {
            "token": token,
            "notification": {"body": WORDS},
            "data": data,
            "android": android | {"notification": shown},
        }
    }
