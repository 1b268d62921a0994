"""A call on its way through the steps, and what a step is."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import grpc
from google.protobuf.message import Message

from services.chassis.identity import Caller

Context = grpc.aio.ServicerContext[Message, Message]


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC. `label` is how logs and metrics call it; `service` is fully qualified."""

    service: str
    name: str
    request_streaming: bool
    response_streaming: bool

    @property
    def full_name(self) -> str:
        return f"{self.service}.{self.name}"

    @property
    def label(self) -> str:
        return f"{self.service.rpartition('.')[2]}/{self.name}"

    @property
    def unary(self) -> bool:
        return not (self.request_streaming or self.response_streaming)


@dataclass(slots=True)
class Call:
    """What the steps learn about one call, outermost first."""

    method: Method
    context: Context
    metadata: Mapping[str, str | bytes]
    request: bytes | AsyncIterator[bytes]
    request_id: str = ""
    caller: Caller | None = None

    def text(self, key: str) -> str:
        """A metadata value, or nothing."""
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else ""


# Answers with the bytes of a unary response; a stream is written as it comes.
Serve = Callable[[Call], Awaitable[bytes | None]]


class Step(Protocol):
    """One thing done around every call.

    `around` runs once a method, at the start: what can be known then is worked out there, and a
    method that must not be served is refused there.
    """

    def around(self, method: Method, inner: Serve) -> Serve: ...
