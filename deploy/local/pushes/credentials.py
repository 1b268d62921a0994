"""Who may push: whoever signs with the development keys of the stack."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from deploy.local.keys import APPLE_KEY, APPLE_KEY_ID, APPLE_TEAM_ID, GOOGLE_ACCOUNT

_TOKEN_SECONDS = 3600
_LONGEST_APPLE_TOKEN_SECONDS = 3600
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Refused(Exception):
    """The message is the reason in the service's own word."""


class Google:
    """The OAuth endpoint: a signed JWT in, an access token out."""

    def __init__(self, keys: Path) -> None:
        account = json.loads((keys / GOOGLE_ACCOUNT).read_text())
        self._email = account["client_email"]
        self._token_uri = account["token_uri"]
        self._key = RSAKey.import_key(account["private_key"])
        self._tokens: dict[str, float] = {}

    def sign_in(self, form: Mapping[str, str]) -> Mapping[str, object]:
        """Raises Refused."""
        if form.get("grant_type") != _GRANT:
            raise Refused("unsupported_grant_type")
        claims = _claims(form.get("assertion", ""), self._key, "RS256", "invalid_grant")
        known = claims.get("iss") == self._email and claims.get("aud") == self._token_uri
        if not known or not _number(claims.get("iat")) <= time.time() + 5 < _end(claims):
            raise Refused("invalid_grant")
        token = token_urlsafe(32)
        self._tokens[token] = time.monotonic() + _TOKEN_SECONDS
        return {"access_token": token, "expires_in": _TOKEN_SECONDS, "token_type": "Bearer"}

    def check(self, authorization: str) -> None:
        """Raises Refused."""
        _, _, token = authorization.partition("Bearer ")
        if self._tokens.get(token, 0.0) < time.monotonic():
            raise Refused("UNAUTHENTICATED")

    def revoke(self) -> None:
        """As if every access token had ended."""
        self._tokens.clear()


class Apple:
    """Provider tokens: none older than an hour."""

    def __init__(self, keys: Path) -> None:
        self._key = ECKey.import_key((keys / APPLE_KEY).read_text())
        self._seen: dict[str, float] = {}

    def check(self, authorization: str) -> None:
        """Raises Refused."""
        _, _, token = authorization.partition("bearer ")
        if token not in self._seen:
            self._seen = {token: self._issued_at(token)}
        if not 0 <= time.time() + 5 - self._seen[token] <= _LONGEST_APPLE_TOKEN_SECONDS:
            raise Refused("ExpiredProviderToken")

    def _issued_at(self, token: str) -> float:
        claims = _claims(token, self._key, "ES256", "InvalidProviderToken", kid=APPLE_KEY_ID)
        if claims.get("iss") != APPLE_TEAM_ID:
            raise Refused("InvalidProviderToken")
        return _number(claims.get("iat"))


def _claims(
    token: str, key: RSAKey | ECKey, algorithm: str, reason: str, *, kid: str = ""
) -> Mapping[str, object]:
    try:
        decoded = jwt.decode(token, key, algorithms=[algorithm])
    except (JoseError, ValueError):
        raise Refused(reason) from None
    if kid and decoded.header.get("kid") != kid:
        raise Refused(reason)
    return decoded.claims


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _end(claims: Mapping[str, object]) -> float:
    """At most an hour after it was issued, as Google has it."""
    return min(_number(claims.get("exp")), _number(claims.get("iat")) + 3605.0)
