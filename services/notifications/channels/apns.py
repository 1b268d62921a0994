"""Apple Push Notification service: a small client of our own.

The provider token is made here, from the key of the team, and used for forty minutes: Apple takes
none older than an hour, and no new one within twenty minutes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from joserfc import jwt
from joserfc.jwk import ECKey

from services.chassis.clock import Clock
from services.chassis.logs import get_logger
from services.notifications.channels.failures import (
    ChannelFailure,
    DeviceGone,
    PushRefused,
    TryLater,
)
from services.notifications.channels.push_replies import word, words_of
from services.notifications.channels.push_transport import Reply, Transport
from services.notifications.domain.push import WORDS, Push

_TOKEN_LIFETIME = timedelta(minutes=40)
_AT_ONCE, _WHEN_IT_SUITS = "10", "5"

log = get_logger()


@dataclass(frozen=True, slots=True)
class AppleKey:
    """The signing key of a team, and the app that it pushes to (`topic`, its bundle id)."""

    key_id: str
    team_id: str
    topic: str
    key: ECKey = field(repr=False)


class ProviderTokens:
    def __init__(self, key: AppleKey, *, clock: Clock) -> None:
        self._key = key
        self._clock = clock
        self._token = ""
        self._renew_at: datetime | None = None

    def get(self) -> str:
        now = self._clock()
        if self._renew_at is None or now >= self._renew_at:
            self._token = self._signed(now)
            self._renew_at = now + _TOKEN_LIFETIME
        return self._token

    def forget(self, text: str) -> None:
        """The service says that this one is too old."""
        if text == self._token:
            self._renew_at = None

    def _signed(self, now: datetime) -> str:
        header = {"alg": "ES256", "kid": self._key.key_id}
        claims = {"iss": self._key.team_id, "iat": int(now.timestamp())}
        return jwt.encode(header, claims, self._key.key, algorithms=["ES256"])


class Apns:
    """A provider of the push channel."""

    def __init__(self, key: AppleKey, *, transport: Transport, clock: Clock) -> None:
        self._topic = key.topic
        self._tokens = ProviderTokens(key, clock=clock)
        self._transport = transport
        self._clock = clock

    async def send(self, token: str, push: Push) -> None:
        """Returns once the service has taken it. Raises TryLater, NoAnswer, DeviceGone or
        PushRefused."""
        provider_token = self._tokens.get()
        reply = await self._transport.post(
            f"/3/device/{token}",
            headers={"authorization": f"bearer {provider_token}", **self._headers(push)},
            content=json.dumps(payload(push)).encode(),
        )
        if reply.status == 200:
            return
        reason = word(words_of(reply.body).get("reason"))
        if reason == "ExpiredProviderToken":
            self._tokens.forget(provider_token)
            raise TryLater
        raise _failure(reply, reason)

    def _headers(self, push: Push) -> Mapping[str, str]:
        expires_at = self._clock() + push.lifetime
        return {
            "apns-topic": self._topic,
            "apns-push-type": "background" if push.silent else "alert",
            "apns-priority": _WHEN_IT_SUITS if push.silent else _AT_ONCE,
            "apns-expiration": str(int(expires_at.timestamp())),
            "apns-collapse-id": str(push.collapse_id),
        }

    async def close(self) -> None:
        await self._transport.close()


def _failure(reply: Reply, reason: str) -> ChannelFailure:
    if reply.status == 410:
        return DeviceGone()
    if reply.status == 429 or reply.status >= 500:
        return TryLater(not_before=reply.retry_after)
    # Also BadDeviceToken: with the wrong address of the service every token is one.
    log.error("push_refused", provider="apns", status=reply.status, reason=reason)
    return PushRefused()


def payload(push: Push) -> Mapping[str, object]:
    """The body of a push. A background one has its badge outside `aps`, as Apple wants it."""
    ours: dict[str, object] = {
        "kind": "clear" if push.silent else "message",
        "profile_id": str(push.profile_id),
    }
    if push.conversation_id is not None:
        ours["conversation_id"] = str(push.conversation_id)
    badge = {} if push.badge is None else {"badge": push.badge}
    if push.silent:
        return {"aps": {"content-available": 1}, **ours, **badge}
    thread = {"thread-id": str(push.collapse_id)}
    return {"aps": {"alert": {"body": WORDS}, "sound": "default", **thread, **badge}, **ours}
