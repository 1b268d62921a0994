"""A gRPC server, built the same way for every service and both of its ports."""

import inspect
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from services.chassis.interceptors.admission import Admission
from services.chassis.interceptors.authentication import Authentication, Verifier
from services.chassis.interceptors.call import Method, Step
from services.chassis.interceptors.context import RequestContext
from services.chassis.interceptors.deadline import Deadline
from services.chassis.interceptors.guard import Guard, Handler, OnDenied
from services.chassis.interceptors.roles import Roles
from services.chassis.interceptors.serving import is_unimplemented
from services.chassis.limits import (
    CONCURRENT_STREAMS,
    CONCURRENT_UNARY_CALLS,
    CONNECTION_AGE,
    CONNECTION_AGE_GRACE,
    KEEPALIVE_TIME,
    KEEPALIVE_TIMEOUT,
    METADATA_BYTES,
    REQUEST_BYTES,
    RESPONSE_BYTES,
)
from services.chassis.logs import get_logger
from services.chassis.settings import RefusedToStart, Tls

S = TypeVar("S")

log = get_logger()

HEALTH = "grpc.health.v1.Health"
_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
# Anybody may ask these; they tell nothing of a clinic.
_OPEN = frozenset({HEALTH, _REFLECTION})


@dataclass(frozen=True, slots=True)
class Registration:
    """A servicer and the generated function that adds it to a server."""

    servicer: object
    add: Callable[[grpc.aio.Server], None]


def registration(add: Callable[[S, grpc.aio.Server], None], servicer: S) -> Registration:
    """`registration(add_DirectoryServiceServicer_to_server, DirectoryServicer(...))`"""
    return Registration(servicer, lambda server: add(servicer, server))


def unimplemented_methods(servicer: object) -> tuple[str, ...]:
    """The RPCs of the servicer's contract that it does not serve, by name."""
    names = {
        name
        for base in type(servicer).__mro__
        if base.__module__.endswith("_pb2_grpc")
        for name, member in vars(base).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }
    return tuple(sorted(name for name in names if is_unimplemented(getattr(servicer, name))))


class Health:
    """What this server says of itself to load balancers: NOT_SERVING until it is told otherwise."""

    def __init__(self, services: Sequence[str]) -> None:
        self.servicer = health.aio.HealthServicer()
        self._services = ("", *services)

    async def set(self, *, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        for service in self._services:
            await self.servicer.set(service, status.SERVING if serving else status.NOT_SERVING)

    async def leave(self) -> None:
        """NOT_SERVING for good, whatever is set later."""
        await self.servicer.enter_graceful_shutdown()


@dataclass(frozen=True, slots=True)
class BuiltServer:
    """A server with its port open, not started yet."""

    server: grpc.aio.Server
    health: Health
    port: int

    async def start(self) -> None:
        await self.health.set(serving=False)
        await self.server.start()


def build_server(
    *,
    service: str,
    address: str,
    registrations: Sequence[Registration],
    verifier: Verifier,
    tls: Tls | None = None,
    on_denied: OnDenied | None = None,
    reflect: bool = False,
    request_bytes: int = REQUEST_BYTES,
    response_bytes: int = RESPONSE_BYTES,
    admission: Admission | None = None,
    deadline: Deadline | None = None,
    outermost: Sequence[grpc.aio.ServerInterceptor] = (),
) -> BuiltServer:
    """A server of these servicers behind the steps that every call passes.

    Health is always served, reflection only where asked for. Raises RefusedToStart for a method
    that names no roles, for one that is not async, and for an address that cannot be had.
    """
    handlers = _handlers(registrations)
    names = sorted({method.service for method in handlers})
    state = Health(names)
    handlers |= _open_handlers(state, names if reflect else ())
    steps: list[Step] = [
        RequestContext(),
        admission or Admission(),
        deadline or Deadline(),
        Authentication(verifier),
        Roles(),
    ]
    guard = Guard(service, handlers=handlers, steps=_steps_of(steps), on_denied=on_denied)
    server = grpc.aio.server(
        interceptors=(*outermost, guard),
        options=_options(request_bytes, response_bytes),
        # Beyond what admission turns away politely, gRPC itself does.
        maximum_concurrent_rpcs=2 * (CONCURRENT_UNARY_CALLS + CONCURRENT_STREAMS),
    )
    return BuiltServer(server, state, _open_port(server, address, tls))


def _steps_of(steps: Sequence[Step]) -> Callable[[Method], Sequence[Step]]:
    def steps_of(method: Method) -> Sequence[Step]:
        if method.service in _OPEN:
            return ()
        # Nobody is told who may call a method that is not there.
        return steps if method.service != "unknown" else steps[:2]

    return steps_of


class _Recorder:
    """Stands in for a server, to learn what generated code would register."""

    def __init__(self) -> None:
        self.handlers: dict[Method, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same handlers come as registered ones too."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        for name, handler in handlers.items():
            method = Method(service, name, handler.request_streaming, handler.response_streaming)
            self.handlers[method] = handler


def _handlers(registrations: Sequence[Registration]) -> dict[Method, Handler]:
    recorder = _Recorder()
    for each in registrations:
        each.add(cast("grpc.aio.Server", recorder))
    return recorder.handlers


def _open_handlers(state: Health, reflected: Sequence[str]) -> dict[Method, Handler]:
    registrations = [registration(health_pb2_grpc.add_HealthServicer_to_server, state.servicer)]
    if reflected:
        servicer = reflection.aio.ReflectionServicer((*reflected, HEALTH, _REFLECTION))
        add = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
        registrations.append(registration(add, servicer))
    return _handlers(registrations)


def _options(request_bytes: int, response_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", request_bytes),
        ("grpc.max_send_message_length", response_bytes),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        ("grpc.keepalive_time_ms", _milliseconds(KEEPALIVE_TIME)),
        ("grpc.keepalive_timeout_ms", _milliseconds(KEEPALIVE_TIMEOUT)),
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(KEEPALIVE_TIMEOUT)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_connection_age_ms", _milliseconds(CONNECTION_AGE)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(CONNECTION_AGE_GRACE)),
        ("grpc.so_reuseport", 1),
    ]


def _milliseconds(time: timedelta) -> int:
    return int(time.total_seconds() * 1000)


def _open_port(server: grpc.aio.Server, address: str, tls: Tls | None) -> int:
    try:
        if tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, _credentials(tls))
    except RuntimeError as error:
        raise RefusedToStart(
            f"{address} cannot be listened on: is it taken, or not an address of this machine?"
        ) from error


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    try:
        certificates = _Certificates(tls)
    except OSError as error:
        raise RefusedToStart(f"{error.filename} cannot be read: {error.strerror}") from error
    return grpc.dynamic_ssl_server_credentials(
        certificates.configuration(),
        certificates.renewed,  # type: ignore[arg-type]  # the stubs forget that None is no change
        require_client_authentication=tls.authority is not None,
    )


class _Certificates:
    """Files that are looked at for every new connection, so that a renewal needs no restart."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._taken = self._looked_at = self._read()

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        key, certificate, authority = self._taken
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authority)

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """None where nothing has changed, or what is there is no pair, as while it is written."""
        try:
            found = self._read()
            if found == self._looked_at:
                return None
            self._looked_at = found
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._tls.certificate, self._tls.key)
            if self._read() != found:  # written meanwhile: the next connection looks again
                return None
        except OSError as error:  # also what ssl raises of a pair that is none
            log.warning("certificate_not_taken", exc_info=error)
            return None
        self._taken = found
        log.info("certificate_renewed")
        return self.configuration()

    def _read(self) -> tuple[bytes, bytes, bytes | None]:
        authority = self._tls.authority
        return (
            self._tls.key.read_bytes(),
            self._tls.certificate.read_bytes(),
            authority.read_bytes() if authority is not None else None,
        )
