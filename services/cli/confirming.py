"""Changes that take effect in another service: asked again until it has confirmed them (I38)."""

from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from services.cli.suite import Caller

_TRIES = 5


class Applied(Protocol):
    """An answer that says whether the change is in force already."""

    @property
    def applied(self) -> bool: ...


Request = TypeVar("Request", bound=Message)
Confirmed = TypeVar("Confirmed", bound=Applied)


async def confirmed(
    caller: Caller, method: grpc.aio.UnaryUnaryMultiCallable[Request, Confirmed], request: Request
) -> Confirmed:
    """The answer, once it says `applied`, or the last of five that do not: a repeat of the same
    request changes nothing and waits for the confirmation again."""
    for _ in range(_TRIES):
        answer = await caller.call(method, request)
        if answer.applied:
            break
    return answer
