"""The edge of a service in this process: keys, tokens, a server with the production steps."""

import importlib.util
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from uuid import uuid4

import grpc
from grpc_tools import protoc
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from services.chassis.interceptors.authentication import Verifier
from services.chassis.interceptors.status import DETAILS_KEY, error_info
from services.chassis.server import BuiltServer, Registration, build_server, registration

REPOSITORY = Path(__file__).resolve().parents[2]
ISSUER = "https://sign-in.test"
AUDIENCE = "clinic"


def _compile_echo() -> tuple[ModuleType, ModuleType]:
    with tempfile.TemporaryDirectory() as out:
        arguments = [
            "protoc",
            f"-I{REPOSITORY / 'tests' / 'support'}",
            f"-I{REPOSITORY / 'protos'}",
            f"-I{REPOSITORY / 'gen' / 'third_party'}",
            f"-I{resources.files('grpc_tools') / '_proto'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            "echo.proto",
        ]
        assert protoc.main(arguments) == 0
        return _load(Path(out), "echo_pb2"), _load(Path(out), "echo_pb2_grpc")


def _load(folder: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


echo_pb2: Any
echo_pb2_grpc: Any
echo_pb2, echo_pb2_grpc = _compile_echo()


class Keys:
    """The key files of a suite: an issuer with an Ed25519 and a P-256 key, and machines."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.issuer_jwks = folder / "issuer.jwks"
        self.callers_jwks = folder / "callers.jwks"
        self.ed25519 = OKPKey.generate_key("Ed25519", {"kid": "issuer-1"})
        self.p256 = ECKey.generate_key("P-256", {"kid": "issuer-2"})
        self.machines = {
            name: OKPKey.generate_key("Ed25519", {"kid": name})
            for name in ("service:export", "service:directory", "ops:support")
        }
        self.write()

    def write(self) -> None:
        write_jwks(self.issuer_jwks, [self.ed25519, self.p256])
        write_jwks(self.callers_jwks, list(self.machines.values()))

    def verifier(self, *, development: bool = False) -> Verifier:
        return Verifier(
            issuer=ISSUER,
            audience=AUDIENCE,
            issuer_jwks=self.issuer_jwks,
            callers_jwks=self.callers_jwks,
            development=development,
            clock=self.clock,
        )

    def person_claims(self, **changes: object) -> dict[str, object]:
        """Valid claims of a staff member; a change to None takes a claim away."""
        now = int(self.clock().timestamp())
        claims: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(uuid4()),
            "sid": str(uuid4()),
            "clinic_id": str(uuid4()),
            "acting": f"staff:{uuid4()}",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def person(self, **changes: object) -> str:
        return signed(self.person_claims(**changes), self.ed25519)

    def machine(self, name: str, **changes: object) -> str:
        now = int(self.clock().timestamp())
        claims = {
            "iss": name,
            "sub": name,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + 60,
        }
        return signed(claims | changes, self.machines[name])


def signed(
    claims: Mapping[str, object],
    key: OKPKey | ECKey,
    *,
    algorithm: str | None = None,
    **header: object,
) -> str:
    own = "EdDSA" if isinstance(key, OKPKey) else "ES256"
    protected = {"alg": algorithm or own, "kid": key.kid} | header
    payload = json.dumps(claims)
    registry = jws.JWSRegistry(algorithms=[str(protected["alg"])], strict_check_header=False)
    return jws.serialize_compact(protected, payload, key, registry=registry)


def write_jwks(path: Path, keys: Sequence[OKPKey | ECKey], **members: object) -> None:
    public = [key.as_dict(private=False) | members for key in keys]
    path.write_text(json.dumps({"keys": public}))


def bearer(token: str, **more: str) -> tuple[tuple[str, str], ...]:
    pairs = [(key.replace("_", "-"), value) for key, value in more.items()]
    return (("authorization", f"Bearer {token}"), *pairs)


Behaviour = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]


async def echo(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
    return echo_pb2.EchoResponse(text=request.text)


class EchoServicer(echo_pb2_grpc.EchoServiceServicer):  # type: ignore[misc]
    """Answers every request, of each kind of method, with what `behave` makes of it."""

    def __init__(self, behave: Behaviour = echo) -> None:
        self.behave = behave

    async def Unary(self, request: Any, context: Any) -> Any:
        return await self.behave(request, context)

    async def Down(self, request: Any, context: Any) -> Any:
        while True:
            yield await self.behave(request, context)

    async def Up(self, request_iterator: Any, context: Any) -> Any:
        texts = [(await self.behave(request, context)).text async for request in request_iterator]
        return echo_pb2.EchoResponse(text=" ".join(texts))

    async def Both(self, request_iterator: Any, context: Any) -> Any:
        async for request in request_iterator:
            yield await self.behave(request, context)


def servicer_of(base: type[object], **methods: object) -> object:
    """A servicer of this generated base that serves these methods only."""
    return type("Servicer", (base,), methods)()


def echo_registration(servicer: object) -> Registration:
    return registration(echo_pb2_grpc.add_EchoServiceServicer_to_server, servicer)


class ErrorInfoWatch(grpc.aio.ServerInterceptor):
    """Notes every status that a servicer's method was ended with and that has no ErrorInfo."""

    def __init__(self) -> None:
        self.without: list[str] = []

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        kind = ("stream" if handler.request_streaming else "unary") + (
            "_stream" if handler.response_streaming else "_unary"
        )
        serve = getattr(handler, kind)

        async def watched(request: Any, context: Any) -> Any:
            watching = _WatchedContext(context, handler_call_details.method, self.without)
            return await serve(request, watching)

        return getattr(grpc, f"{kind}_rpc_method_handler")(watched)


class _WatchedContext:
    def __init__(self, context: Any, method: str, without: list[str]) -> None:
        self._context = context
        self._method = method
        self._without = without

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        if DETAILS_KEY not in dict(trailing_metadata):
            self._without.append(f"{self._method}: {code}")
        await self._context.abort(code, details, tuple(trailing_metadata))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


@dataclass(frozen=True)
class World:
    """A running server, and a channel to it."""

    built: BuiltServer
    channel: grpc.aio.Channel
    keys: Keys

    @property
    def echo(self) -> Any:
        return echo_pb2_grpc.EchoServiceStub(self.channel)

    def raw(self, method: str, kind: str = "unary_unary") -> Any:
        """A method of EchoService with bytes in and bytes out."""
        make = getattr(self.channel, kind)
        return make(f"/clinic.tests.v1.EchoService/{method}")


@asynccontextmanager
async def serving(
    keys: Keys, registrations: Sequence[Registration], **options: Any
) -> AsyncIterator[World]:
    """A server of these servicers; fails where one of its statuses came without ErrorInfo."""
    watch = ErrorInfoWatch()
    built = build_server(
        service="echo",
        registrations=registrations,
        verifier=keys.verifier(),
        **({"address": "127.0.0.1:0", "outermost": (watch,)} | options),
    )
    await built.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{built.port}") as channel:
            yield World(built, channel, keys)
    finally:
        await built.server.stop(None)
    assert watch.without == []


async def failure(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"answered: {answer!r}")


def reason(error: grpc.aio.AioRpcError) -> str:
    info = error_info(error)
    return cast(str, info.reason) if info is not None else "none"
