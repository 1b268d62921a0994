"""A service that only echoes, as a process: `python -m tests.support.tiny_service <folder>`.

Its settings come from the environment, prefix TINY_; the keys are in the folder. It says where it
listens on its standard error.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from services.chassis.interceptors.authentication import Verifier
from services.chassis.lifecycle import Service, main
from services.chassis.settings import ChassisSettings, load
from tests.support.grpc_world import AUDIENCE, ISSUER, EchoServicer, echo, echo_registration


@dataclass(frozen=True, slots=True, kw_only=True)
class TinySettings:
    chassis: ChassisSettings


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """Settings that start it, on ports of its own choice."""
    sealing = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    return {
        "TINY_DATABASE_URL": "postgresql://app:pw@localhost/tiny",
        "TINY_WORKER_DATABASE_URL": "postgresql://worker:pw@localhost/tiny",
        "TINY_NATS_URL": "nats://localhost",
        "TINY_LISTEN": "127.0.0.1:0",
        "TINY_INTERNAL_LISTEN": "127.0.0.1:0",
        "TINY_HTTP_LISTEN": "127.0.0.1:0",
        "TINY_TOKEN_ISSUER": ISSUER,
        "TINY_TOKEN_AUDIENCE": AUDIENCE,
        "TINY_ISSUER_JWKS": str(folder / "issuer.jwks"),
        "TINY_CALLERS_JWKS": str(folder / "callers.jwks"),
        "TINY_SIGNING_KEY": str(folder / "none.jwk"),
        "TINY_SEALING_KEY": sealing,
        "TINY_DEVELOPMENT": "true",
    } | changes


def compose(
    environ: dict[str, str],
    *,
    behave: Callable[..., Awaitable[object]] = echo,
    **parts: object,
) -> Service:
    settings = load(TinySettings, "TINY_", environ).chassis
    verifier = Verifier(
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        issuer_jwks=settings.issuer_jwks,
        callers_jwks=settings.callers_jwks,
        development=settings.development,
    )
    return Service(
        name="tiny",
        settings=settings,
        verifier=verifier,
        public=[echo_registration(EchoServicer(behave))],
        **parts,  # type: ignore[arg-type]
    )


async def _slow(request: object, context: object) -> object:
    """Long enough to be under way when the process is asked to stop."""
    print("entered", file=sys.stderr, flush=True)
    await asyncio.sleep(0.3)
    return await echo(request, context)  # type: ignore[arg-type]


async def _stubborn() -> None:
    await asyncio.sleep(60)


async def _composed() -> Service:
    if broken := os.environ.get("TINY_BROKEN"):
        raise ValueError(broken)
    parts = {"close": [_stubborn]} if "TINY_STUBBORN" in os.environ else {}
    return compose(dict(os.environ), behave=_slow, **parts)


if __name__ == "__main__":
    sys.exit(main(_composed))
