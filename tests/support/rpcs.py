"""Every RPC of every service, from the descriptors, and one way to call any of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from clinic.annotations.v1 import access_pb2
from clinic.conversations.v1 import (  # noqa: F401
    conversations_internal_service_pb2,
    conversations_service_pb2,
)
from clinic.directory.v1 import (  # noqa: F401
    directory_internal_service_pb2,
    directory_service_pb2,
)
from clinic.export.v1 import export_internal_service_pb2, export_service_pb2  # noqa: F401
from clinic.notifications.v1 import (  # noqa: F401
    notifications_internal_service_pb2,
    notifications_service_pb2,
)
from clinic.operations.v1 import operations_service_pb2  # noqa: F401
from deploy.local.ports import SERVICES
from services.chassis.interceptors.status import DETAILS_KEY
from services.cli.failures import LOST_BY_CLIENT
from tests.contract import descriptors

_OPERATIONS = "OperationsService"
# A stream that does not end is read so far and left.
_MOST_ITEMS = 50
_QUIET_SECONDS = 0.2
_DEADLINE_SECONDS = 10
_ASKED_AGAIN = 5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rpc:
    """One method as one service serves it: OperationsService is there four times."""

    service: str
    descriptor: MethodDescriptor

    @property
    def door(self) -> str:
        """`public`, `internal` or `operations`: the last two are on the internal port."""
        service = self.descriptor.containing_service.name
        if service == _OPERATIONS:
            return "operations"
        return "internal" if service.endswith("InternalService") else "public"

    @property
    def public(self) -> bool:
        return self.door == "public"

    @property
    def name(self) -> str:
        """`conversations.SendMessage`, `directory.internal.GetState`."""
        door = "" if self.public else f"{self.door}."
        return f"{self.service}.{door}{self.descriptor.name}"

    @property
    def path(self) -> str:
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def request(self) -> type[Message]:
        kind: type[Message] = GetMessageClass(self.descriptor.input_type)
        return kind

    @property
    def response(self) -> type[Message]:
        kind: type[Message] = GetMessageClass(self.descriptor.output_type)
        return kind

    @property
    def kind(self) -> str:
        """As a channel calls it: `unary_unary`, `stream_stream`, …"""
        sides = (self.descriptor.client_streaming, self.descriptor.server_streaming)
        return "_".join("stream" if streaming else "unary" for streaming in sides)

    @property
    def machines(self) -> tuple[str, ...]:
        """The machines that the contract lets call it."""
        options = self.descriptor.GetOptions()
        roles: Sequence[int] = options.Extensions[access_pb2.allowed_roles]  # type: ignore[index]
        named: Sequence[str] = options.Extensions[access_pb2.allowed_services]  # type: ignore[index]
        others = {access_pb2.ROLE_PLATFORM: "platform:gateway", access_pb2.ROLE_OPS: "ops:support"}
        found = [machine for role, machine in others.items() if role in roles]
        return (*(f"service:{name}" for name in named), *found)


@cache
def rpcs() -> tuple[Rpc, ...]:
    """All that the descriptor set holds, whoever remembered it."""
    return tuple(sorted(_rpcs(), key=lambda rpc: rpc.name))


def _rpcs() -> Iterator[Rpc]:
    for method in descriptors.methods():
        descriptor = Default().FindMethodByName(f"{method.service.package}.{method.path}")
        owner = method.service.package.split(".")[1]
        served_by = SERVICES if method.service.name == _OPERATIONS else (owner,)
        yield from (Rpc(service, descriptor) for service in served_by)


def rpc(name: str) -> Rpc:
    return next(each for each in rpcs() if each.name == name)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call ended with, to the last byte."""

    code: grpc.StatusCode
    message: str
    responses: tuple[bytes, ...]
    trailers: tuple[tuple[str, str | bytes], ...]

    @property
    def info(self) -> ErrorInfo | None:
        for key, value in self.trailers:
            if key == DETAILS_KEY and isinstance(value, bytes):
                for detail in Status.FromString(value).details:
                    info = ErrorInfo()
                    if detail.Unpack(info):
                        return info
        return None

    @property
    def reason(self) -> str:
        info = self.info
        return "" if info is None else info.reason

    @property
    def everything(self) -> bytes:
        """All bytes that reached the caller."""
        words = [self.message.encode()]
        for key, value in self.trailers:
            words += [key.encode(), value if isinstance(value, bytes) else value.encode()]
        return b"\0".join((*words, *self.responses))


async def call(
    channel: grpc.aio.Channel,
    rpc: Rpc,
    request: bytes | Sequence[bytes],
    *,
    metadata: Any = (),
    seconds: float | None = _DEADLINE_SECONDS,
) -> Answer:
    """Bytes in, bytes out. A stream of responses is read to its end, or until it is quiet."""
    ask = partial(_call, channel, rpc, request, metadata, seconds)
    try:
        return await (asked_again(ask) if rpc.descriptor.client_streaming else ask())
    except grpc.aio.AioRpcError as error:
        trailers = tuple(error.trailing_metadata() or ())
        return Answer(error.code(), error.details() or "", (), trailers)


async def asked_again(ask: Callable[[], Awaitable[T]]) -> T:
    """What a call answers, asked for again where the client's own library lost the answer, as it
    may while it still writes a stream of requests. Raises AioRpcError."""
    for tries_left in reversed(range(_ASKED_AGAIN)):
        try:
            return await ask()
        except grpc.aio.AioRpcError as error:
            if error.details() != LOST_BY_CLIENT or not tries_left:
                raise
    raise AssertionError("unreachable")


async def _call(
    channel: grpc.aio.Channel,
    rpc: Rpc,
    request: bytes | Sequence[bytes],
    metadata: Any,
    seconds: float | None,
) -> Answer:
    method = getattr(channel, rpc.kind)(rpc.path)
    sent = request
    if rpc.descriptor.client_streaming:
        sent = _each([request] if isinstance(request, bytes) else request)  # type: ignore[assignment]
    under_way = method(sent, metadata=metadata, timeout=seconds)
    if rpc.descriptor.server_streaming:
        responses = await _items(under_way)
    else:
        responses = (await under_way,)
    trailers = tuple(await under_way.trailing_metadata() or ()) if under_way.done() else ()
    under_way.cancel()
    return Answer(grpc.StatusCode.OK, "", responses, trailers)


async def _items(under_way: Any) -> tuple[bytes, ...]:
    items: list[bytes] = []
    while len(items) < _MOST_ITEMS:
        try:
            async with asyncio.timeout(_QUIET_SECONDS if items else _DEADLINE_SECONDS):
                item = await under_way.read()
        except TimeoutError:
            break
        if item is grpc.aio.EOF:
            break
        items.append(item)
    return tuple(items)


async def _each(messages: Sequence[bytes]) -> AsyncIterator[bytes]:
    for message in messages:
        yield message
