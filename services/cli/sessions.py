"""Who speaks: people signed in for development, and machines with keys of their own."""

import json
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import OKPKey

from clinic.directory.v1 import directory_internal_service_pb2 as internal_pb
from clinic.directory.v1 import directory_service_pb2 as pb
from services.chassis.client import Signer
from services.chassis.ids import uuid7
from services.chassis.settings import RefusedToStart
from services.cli.failures import Failed, Refused
from services.cli.places import Places
from services.cli.suite import Caller, Heard, Suite

# RFC 9864 renames EdDSA to Ed25519; issuers and gateways still write the old name.
warnings.filterwarnings("ignore", message="EdDSA is deprecated", category=SecurityWarning)

# Half of what the services take.
_TOKEN_SECONDS = 12 * 60 * 60


class Side(StrEnum):
    STAFF = "staff"
    PROFILE = "profile"


@dataclass(frozen=True, slots=True)
class Person:
    """A staff member or a profile, by id."""

    side: Side
    id: str

    def __str__(self) -> str:
        return f"{self.side}:{self.id}"


def parse_person(text: str) -> Person:
    """`staff:<id>` or `profile:<id>`. Raises Failed."""
    side, _, id = text.partition(":")
    with suppress(ValueError):
        return Person(Side(side), str(UUID(id)))
    raise Failed(
        f"`{text}` is nobody: write staff:<id>, profile:<id> or a name of the demo clinic."
    )


def staff(id: str) -> Person:
    return Person(Side.STAFF, id)


def profile(id: str) -> Person:
    return Person(Side.PROFILE, id)


class Desk:
    """Where people sign in and machines get their tokens; each caller's calls are told to
    `heard`."""

    def __init__(self, suite: Suite, *, heard: Callable[[Heard], None] = lambda call: None) -> None:
        self.suite = suite
        self._heard = heard

    def ops(self, clinic_id: str = "") -> Caller:
        return self._machine(self.suite.places.ops_key, "support", clinic_id)

    def platform(self, clinic_id: str = "") -> Caller:
        return self._machine(self.suite.places.platform_key, "the platform", clinic_id)

    def bearer(self, token: str) -> Caller:
        """Somebody who has a token already."""
        return Caller("the token's person", lambda: token, heard=self._heard)

    async def sign_in(self, person: Person, *, clinic_id: str, name: str = "") -> "SignedIn":
        """Open a session as the platform does after a sign-in, and make its token."""
        request = internal_pb.OpenSessionRequest(request_id=str(uuid7()))
        if person.side is Side.STAFF:
            request.staff_id = person.id
        else:
            request.profile_id = person.id
        platform = self.platform(clinic_id)
        opened = await platform.call(self.suite.directory_internal.OpenSession, request)
        token = issue(
            self.suite.places,
            person=person,
            clinic_id=clinic_id,
            session_id=opened.session.session_id,
        )
        return SignedIn(name or str(person), token, self._heard)

    @asynccontextmanager
    async def signed_in(self, person: Person, *, clinic_id: str) -> AsyncIterator["SignedIn"]:
        """For the time of a command: a session that stayed open would hold back staff mail."""
        caller = await self.sign_in(person, clinic_id=clinic_id)
        try:
            yield caller
        finally:
            with suppress(Refused):  # It may have ended meanwhile, with the person's leave.
                await caller.call(self.suite.directory.CloseSession, pb.CloseSessionRequest())

    def _machine(self, key: Path, name: str, clinic_id: str) -> Caller:
        try:
            signer = Signer(key, audience=self.suite.places.audience)
        except RefusedToStart as error:
            raise Failed(f"{error}. Name the directory of the keys with CLINIC_KEYS.") from error
        return Caller(name, signer.token, clinic_id=clinic_id, heard=self._heard)


class SignedIn(Caller):
    """A person with an open session."""

    def __init__(self, name: str, token: str, heard: Callable[[Heard], None]) -> None:
        super().__init__(name, lambda: token, heard=heard)
        self.token = token


def issue(places: Places, *, person: Person, clinic_id: str, session_id: str) -> str:
    """A token as the platform's issuer makes it, from its development key."""
    key = _issuer_key(places.issuer_key)
    now = int(time.time())
    claims = {
        "iss": places.issuer,
        "aud": places.audience,
        "sub": f"development|{person}",
        "sid": session_id,
        "clinic_id": clinic_id,
        "acting": str(person),
        "iat": now,
        "nbf": now,
        "exp": now + _TOKEN_SECONDS,
    }
    return jwt.encode({"alg": "EdDSA", "kid": key.kid}, claims, key, algorithms=["EdDSA"])


def _issuer_key(path: Path) -> OKPKey:
    try:
        return OKPKey.import_key(json.loads(path.read_text()))
    except OSError as error:
        raise Failed(
            f"{path} cannot be read: {error.strerror}. Tokens of people can be made only where the "
            "issuer's development key is; elsewhere give one with --token or CLINIC_TOKEN."
        ) from error
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Failed(f"{path} is not a private Ed25519 key.") from error
