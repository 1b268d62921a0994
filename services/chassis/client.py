"""Calls to other services: signed, bounded in time, tried twice, failures told in our terms."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import grpc
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, import_key

from services.chassis import errors
from services.chassis.clock import Clock, system_clock
from services.chassis.errors import DeadlineExceeded, DomainError, Unavailable
from services.chassis.interceptors.deadline import remaining
from services.chassis.interceptors.status import error_info
from services.chassis.limits import (
    INTERNAL_REQUEST_BYTES,
    INTERNAL_RESPONSE_BYTES,
    KEEPALIVE_TIME,
    KEEPALIVE_TIMEOUT,
    PEER_MARGIN,
    PEER_TIMEOUT,
    PEER_TRIES,
)
from services.chassis.settings import RefusedToStart, Tls
from services.chassis.telemetry import PEER_CALLS, current_traceparent

Request = TypeVar("Request")
Response = TypeVar("Response")

_TOKEN_LIFETIME = timedelta(seconds=60)
_TOKEN_RENEWED = timedelta(seconds=20)
_PAUSE_SECONDS = (0.01, 0.05)


class Signer:
    """Makes this process's own token, of 60 s, from its private key; its `kid` is its name."""

    def __init__(self, path: Path, *, audience: str, clock: Clock = system_clock) -> None:
        self._key = _private_key(path)
        self._actor = str(self._key.kid)
        self._audience = audience
        self._clock = clock
        self._token = ""
        self._renew_at: datetime | None = None

    def token(self) -> str:
        now = self._clock()
        if self._renew_at is None or now >= self._renew_at:
            self._token = self._signed(now)
            self._renew_at = now + _TOKEN_LIFETIME - _TOKEN_RENEWED
        return self._token

    def _signed(self, now: datetime) -> str:
        issued_at = int(now.timestamp())
        claims = {
            "iss": self._actor,
            "sub": self._actor,
            "aud": self._audience,
            "iat": issued_at,
            "nbf": issued_at,
            "exp": issued_at + int(_TOKEN_LIFETIME.total_seconds()),
        }
        algorithm = "EdDSA" if isinstance(self._key, OKPKey) else "ES256"
        header = {"alg": algorithm, "kid": self._actor}
        return jwt.encode(header, claims, self._key, algorithms=[algorithm])


def _private_key(path: Path) -> OKPKey | ECKey:
    try:
        key = import_key(json.loads(path.read_bytes()))
    except OSError as error:
        raise RefusedToStart(f"{path} cannot be read: {error.strerror}") from error
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise RefusedToStart(f"{path} is not a private JWK") from error
    if not isinstance(key, OKPKey | ECKey) or not key.is_private or not key.kid:
        raise RefusedToStart(f"{path} must hold a private Ed25519 or P-256 key with a kid")
    return key


def open_channel(target: str, *, tls: Tls | None = None) -> grpc.aio.Channel:
    """A channel to a service, connected when it is first used and again whenever it was lost."""
    options = [
        ("grpc.keepalive_time_ms", int(KEEPALIVE_TIME.total_seconds() * 1000)),
        ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT.total_seconds() * 1000)),
        ("grpc.max_send_message_length", INTERNAL_REQUEST_BYTES),
        ("grpc.max_receive_message_length", INTERNAL_RESPONSE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.lb_policy_name", "round_robin"),
        # gRPC's own retries would come on top of the two tries here.
        ("grpc.enable_retries", 0),
    ]
    if tls is None:
        return grpc.aio.insecure_channel(target, options)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls.authority.read_bytes() if tls.authority is not None else None,
        private_key=tls.key.read_bytes(),
        certificate_chain=tls.certificate.read_bytes(),
    )
    return grpc.aio.secure_channel(target, credentials, options)


class Peer:
    """Another service. Its refusals are raised as DomainError of the same code and reason; that it
    cannot be reached, is late, or is at fault itself, is Unavailable.
    """

    def __init__(self, name: str, *, signer: Signer) -> None:
        self._name = name
        self._signer = signer

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        clinic_id: UUID | None = None,
        within: timedelta = PEER_TIMEOUT,
    ) -> Response:
        """One unary call within what is left of the call being served, twice where unavailable."""
        ends_at = asyncio.get_running_loop().time() + _seconds_for(within)
        for attempt in range(1, PEER_TRIES + 1):
            left = ends_at - asyncio.get_running_loop().time()
            metadata = self._metadata(clinic_id)
            try:
                response = await method(request, timeout=max(left, 0.0), metadata=metadata)
            except grpc.aio.AioRpcError as error:
                self._count(error.code())
                if error.code() is not grpc.StatusCode.UNAVAILABLE or attempt == PEER_TRIES:
                    raise self._refusal(error) from error
            else:
                self._count(grpc.StatusCode.OK)
                return response
            await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        *,
        clinic_id: UUID | None = None,
        within: timedelta | None = None,
    ) -> AsyncIterator[AsyncIterator[Response]]:
        """The responses of a stream, which is cancelled on the way out: an abandoned one would run
        on at the other side for ever.
        """
        seconds = None if within is None else within.total_seconds()
        call = method(request, timeout=seconds, metadata=self._metadata(clinic_id))
        try:
            async with aclosing(self._responses(call)) as responses:
                yield responses
        finally:
            call.cancel()

    async def _responses(
        self, call: grpc.aio.UnaryStreamCall[Request, Response]
    ) -> AsyncGenerator[Response, None]:
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            self._count(error.code())
            raise self._refusal(error) from error

    def _metadata(self, clinic_id: UUID | None) -> tuple[tuple[str, str], ...]:
        metadata = (
            ("authorization", f"Bearer {self._signer.token()}"),
            ("traceparent", current_traceparent()),
        )
        return metadata if clinic_id is None else (*metadata, ("clinic-id", str(clinic_id)))

    def _count(self, code: grpc.StatusCode) -> None:
        PEER_CALLS.labels(self._name, code.name).inc()

    def _refusal(self, error: grpc.aio.AioRpcError) -> DomainError:
        """What the failure means to us. Where the other side refuses *us*, a person cannot help."""
        info = error_info(error)
        if error.code() not in _KEPT or info is None:
            return Unavailable(f"{self._name} cannot be reached", peer=self._name)
        refusal = _kind_of(error.code(), info.reason)(f"refused by {self._name}")
        refusal.metadata = {**info.metadata, "peer": self._name}
        return refusal


_KEPT: dict[grpc.StatusCode, type[DomainError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    grpc.StatusCode.ABORTED: errors.Aborted,
    grpc.StatusCode.OUT_OF_RANGE: errors.OutOfRange,
}


@lru_cache(maxsize=256)
def _kind_of(code: grpc.StatusCode, reason: str) -> type[DomainError]:
    """The error of this code with the other side's reason; its class is made once a reason."""
    kind = _KEPT[code]
    return type(f"Peer{kind.__name__}", (kind,), {"reason": reason, "__module__": __name__})


def _seconds_for(within: timedelta) -> float:
    """Less than what is left of the call being served, so that it can still answer."""
    left = remaining()
    seconds = within.total_seconds()
    if left is not None:
        seconds = min(left - PEER_MARGIN.total_seconds(), seconds)
    if seconds <= 0:
        raise DeadlineExceeded("no time left to ask another service")
    return seconds
