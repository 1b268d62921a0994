"""The services of a suite as typed stubs, and callers who speak with them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    ConversationsInternalServiceStub,
)
from clinic.conversations.v1.conversations_service_pb2_grpc import ConversationsServiceStub
from clinic.directory.v1.directory_internal_service_pb2_grpc import DirectoryInternalServiceStub
from clinic.directory.v1.directory_service_pb2_grpc import DirectoryServiceStub
from clinic.export.v1.export_internal_service_pb2_grpc import ExportInternalServiceStub
from clinic.notifications.v1.notifications_internal_service_pb2_grpc import (
    NotificationsInternalServiceStub,
)
from clinic.notifications.v1.notifications_service_pb2_grpc import NotificationsServiceStub
from clinic.operations.v1.operations_service_pb2_grpc import OperationsServiceStub
from services.chassis.client import open_channel
from services.cli.failures import Failed, Refused, refusal
from services.cli.places import SERVICES, Places

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")

_DEADLINE = timedelta(seconds=10)
# Every mutation carries a request id, so that a repeat is safe.
_TRIES = 4
_WORTH_A_REPEAT = frozenset({"UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED"})
_PAUSE_SECONDS = 0.25
_PAUSE_MOST_SECONDS = 2.0


class Suite:
    """Stubs of every service; a connection is made by the first call.

    Raises Failed where no service is named.
    """

    def __init__(self, places: Places) -> None:
        if not places.public and not places.internal:
            raise Failed(
                "The suite is not running here. Start it with `make run`, or name another one with "
                "CLINIC_DIRECTORY_TARGET=<host:port> and the like; `clinic --help` lists them."
            )
        self.places = places
        public, internal = self._open(places.public), self._open(places.internal)
        self._channels = [*public.values(), *internal.values()]
        self.directory = DirectoryServiceStub(public["directory"])
        self.conversations = ConversationsServiceStub(public["conversations"])
        self.directory_internal = DirectoryInternalServiceStub(internal["directory"])
        self.conversations_internal = ConversationsInternalServiceStub(internal["conversations"])
        self.notifications = NotificationsServiceStub(public["notifications"])
        self.notifications_internal = NotificationsInternalServiceStub(internal["notifications"])
        self.export_internal = ExportInternalServiceStub(internal["export"])
        self.operations = {name: OperationsServiceStub(internal[name]) for name in SERVICES}

    def _open(self, targets: Mapping[str, str]) -> dict[str, grpc.aio.Channel]:
        # A service that nobody named answers that it cannot be reached.
        named = {service: targets.get(service, "127.0.0.1:1") for service in SERVICES}
        return {name: open_channel(target, tls=self.places.tls) for name, target in named.items()}

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


@dataclass(frozen=True, slots=True)
class Heard:
    """One call that was made, for whoever tells of it; `reason` is empty where it succeeded."""

    method: str
    caller: str
    reason: str
    seconds: float


class Caller:
    """Somebody who calls: a signed-in person, or a machine that names a clinic."""

    def __init__(
        self,
        name: str,
        token: Callable[[], str],
        *,
        clinic_id: str = "",
        heard: Callable[[Heard], None] = lambda call: None,
    ) -> None:
        self.name = name
        self._token = token
        self._clinic_id = clinic_id
        self._heard = heard

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request
    ) -> Response:
        """One call, repeated a few times where that may help. Raises Refused."""
        name = method_of(request)
        for tries_left in reversed(range(_TRIES)):
            began = time.perf_counter()
            try:
                response = await method(
                    request, timeout=_DEADLINE.total_seconds(), metadata=self.metadata()
                )
            except grpc.aio.AioRpcError as error:
                refused = refusal(name, error)
                if refused.code not in _WORTH_A_REPEAT or not tries_left:
                    self._tell(name, refused.reason or refused.code, began)
                    raise refused from None
            else:
                self._tell(name, "", began)
                return response
            await asyncio.sleep(min(refused.retry_after or _PAUSE_SECONDS, _PAUSE_MOST_SECONDS))
        raise AssertionError("unreachable")

    async def refused(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request
    ) -> Refused | None:
        """The refusal that the call is expected to end with, or None where it was granted."""
        try:
            await self.call(method, request)
        except Refused as refused:
            return refused
        return None

    async def upload(
        self,
        method: grpc.aio.StreamStreamMultiCallable[Request, Response],
        requests: Iterable[Request],
    ) -> AsyncIterator[Response]:
        """Send all of the requests while reading the responses. Raises Refused."""

        async def sent() -> AsyncIterator[Request]:
            for request in requests:
                yield request

        call = method(sent(), metadata=self.metadata())
        async for response in self._responses("the upload", call):
            yield response

    async def download(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> AsyncIterator[Response]:
        """The responses of a stream, to its end. Raises Refused."""
        call = method(request, metadata=self.metadata())
        async for response in self._responses(method_of(request), call):
            yield response

    async def _responses(
        self,
        name: str,
        call: grpc.aio.StreamStreamCall[Request, Response]
        | grpc.aio.UnaryStreamCall[Request, Response],
    ) -> AsyncIterator[Response]:
        began = time.perf_counter()
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            refused = refusal(name, error)
            self._tell(name, refused.reason or refused.code, began)
            raise refused from None
        finally:
            call.cancel()
        self._tell(name, "", began)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        proof = ("authorization", f"Bearer {self._token()}")
        return (proof, ("clinic-id", self._clinic_id)) if self._clinic_id else (proof,)

    def _tell(self, method: str, reason: str, began: float) -> None:
        self._heard(Heard(method, self.name, reason, time.perf_counter() - began))


def method_of(request: Message) -> str:
    """Every RPC has a request message of its own, named after it."""
    return request.DESCRIPTOR.name.removesuffix("Request")
