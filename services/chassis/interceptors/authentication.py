"""Who is calling: tokens of persons, signed by their issuer, and of machines, by themselves."""

import hashlib
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from joserfc import jws, jwt
from joserfc.errors import JoseError, SecurityWarning

from services.chassis.clock import Clock, system_clock
from services.chassis.errors import ClinicRequired, Unauthenticated
from services.chassis.identity import Caller, Role, calling
from services.chassis.interceptors.call import Call, Method, Serve
from services.chassis.interceptors.keyfiles import KeyFile, PublicKey
from services.chassis.limits import TOKEN_LEEWAY, TOKEN_LIFETIME_MOST
from services.chassis.logs import bind

Claims = Mapping[str, object]

_LOOK_EVERY = timedelta(seconds=2)
_CACHED_TOKENS = 10_000
_TOKEN_CHARACTERS = 4_096
_MACHINE = re.compile(r"(service|platform|ops):[a-z0-9][a-z0-9._-]{0,62}")

# RFC 9864 renames EdDSA to Ed25519; issuers and gateways still write the old name.
warnings.filterwarnings("ignore", message="EdDSA is deprecated", category=SecurityWarning)


class Authentication:
    """Turns the `authorization` metadata into the caller of everything within."""

    def __init__(self, verifier: "Verifier") -> None:
        self._verifier = verifier

    def around(self, method: Method, inner: Serve) -> Serve:
        verifier = self._verifier

        async def serve(call: Call) -> bytes | None:
            caller = verifier.caller(call.text)
            call.caller = caller
            bind(actor=caller.actor, clinic_id=caller.clinic_id)
            with calling(caller):
                return await inner(call)

        return serve


class _Refused(Exception):
    """Why a token is not taken: told to the log, never to the caller."""


class Verifier:
    """Checks tokens against the key files, which are read again when they change.

    Raises RefusedToStart when a file holds no keys, private ones, or development keys outside
    of development.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        issuer_jwks: Path,
        callers_jwks: Path,
        development: bool = False,
        clock: Clock = system_clock,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._persons = KeyFile(issuer_jwks, development=development)
        self._machines = KeyFile(callers_jwks, development=development, name=_MACHINE)
        self._looked_at = self._look_at = clock()
        self._verified: OrderedDict[bytes, Caller] = OrderedDict()

    def caller(self, metadata: Callable[[str], str]) -> Caller:
        """The caller that these metadata prove. Raises Unauthenticated.

        `clinic-id` is honoured for machines only; a person's clinic is in the token.
        """
        scheme, _, token = metadata("authorization").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("a bearer token is needed")
        caller = self.verify(token)
        if caller.is_person or not (clinic_id := metadata("clinic-id")):
            return caller
        return replace(caller, clinic_id=_named_clinic(clinic_id))

    def verify(self, token: str) -> Caller:
        """The identity in a token. Raises Unauthenticated, the same for every reason."""
        now = self._clock()
        if not self._looked_at <= now < self._look_at:
            self._look(now)
        digest = hashlib.sha256(token.encode()).digest()
        caller = self._verified.get(digest)
        if caller is None or now >= caller.expires_at:
            self._verified.pop(digest, None)
            caller = self._checked(token)
            self._remember(digest, caller)
        return caller

    def _look(self, now: datetime) -> None:
        """See whether keys were rotated; a token seen good may be signed with one that is gone."""
        self._looked_at, self._look_at = now, now + _LOOK_EVERY
        if self._persons.refresh() | self._machines.refresh():
            self._verified.clear()

    def _remember(self, digest: bytes, caller: Caller) -> None:
        self._verified[digest] = caller
        if len(self._verified) > _CACHED_TOKENS:
            self._verified.popitem(last=False)

    def _checked(self, token: str) -> Caller:
        try:
            return self._read(token)
        except _Refused as refused:
            bind(cause=str(refused))
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
            bind(cause="malformed")
        raise Unauthenticated("the token is not valid")

    def _read(self, token: str) -> Caller:
        if len(token) > _TOKEN_CHARACTERS:
            raise _Refused("too_long")
        header = jws.extract_compact(token.encode()).headers()
        if "crit" in header:
            raise _Refused("critical_header")
        kid = header["kid"]
        if keys := self._persons.of(kid):
            return self._person(_signed_claims(token, keys))
        if keys := self._machines.of(kid):
            return self._machine(_signed_claims(token, keys), kid)
        raise _Refused("unknown_kid")

    def _person(self, claims: Claims) -> Caller:
        if claims["iss"] != self._issuer:
            raise _Refused("issuer")
        expires_at = self._valid_until(claims)
        _text(claims, "sub")
        side, _, person = _text(claims, "acting").partition(":")
        if side not in (Role.STAFF, Role.PATIENT):
            raise _Refused("acting")
        return Caller(
            role=Role(side),
            name=person,
            clinic_id=_uuid(_text(claims, "clinic_id")),
            expires_at=expires_at,
            person_id=_uuid(person),
            session_id=_uuid(_text(claims, "sid")),
        )

    def _machine(self, claims: Claims, kid: str) -> Caller:
        if claims["sub"] != kid:
            raise _Refused("subject")
        role, _, name = kid.partition(":")
        return Caller(Role(role), name, None, self._valid_until(claims))

    def _valid_until(self, claims: Claims) -> datetime:
        audience = claims["aud"]
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise _Refused("audience")
        now = self._clock()
        expires_at, issued_at = _time(claims, "exp"), _time(claims, "iat")
        if now >= expires_at:
            raise _Refused("expired")
        if max(_time(claims, "nbf"), issued_at) > now + TOKEN_LEEWAY:
            raise _Refused("not_yet_valid")
        if expires_at - issued_at > TOKEN_LIFETIME_MOST:
            raise _Refused("lives_too_long")
        return expires_at


def _signed_claims(token: str, keys: tuple[PublicKey, ...]) -> Claims:
    """The claims, where one of the keys signed them with the algorithm of its own type."""
    failure: JoseError | None = None
    for each in keys:
        try:
            claims: Claims = jwt.decode(token, each.key, algorithms=each.algorithms).claims
            return claims
        except JoseError as error:
            failure = error
    raise _Refused("signature") from failure


def _named_clinic(text: str) -> UUID:
    try:
        return _uuid(text)
    except (ValueError, _Refused):
        raise ClinicRequired("clinic-id metadata must be a UUID") from None


def _text(claims: Claims, name: str) -> str:
    value = claims[name]
    if not isinstance(value, str) or not value:
        raise _Refused("malformed")
    return value


def _uuid(text: str) -> UUID:
    value = UUID(text)
    if str(value) != text:
        raise _Refused("malformed")
    return value


def _time(claims: Claims, name: str) -> datetime:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Refused("malformed")
    return datetime.fromtimestamp(value, UTC)
