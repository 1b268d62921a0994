"""What the push services shall do wrong, as a test has programmed it."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from deploy.local.faults import MalformedFault

Hang = Literal["before_request", "after_request"]
Reset = Literal["refused", "stream", "connection"]


_FORM = (
    'A fault is {"token": "…", …} with one of "status": 400 to 599 (and "reason", "retry_after" in'
    ' seconds), "hang": "before_request" or "after_request", "reset": "refused", "stream" or'
    ' "connection", "slow": seconds. An empty token means all pushes, "oauth" the sign-in;'
    ' "before_request" is for all connections.'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """For the pushes to one token, or for all where it is empty.

    Who hangs before the request is not even read; after it the push is kept, and the client cannot
    know. `refused` says that nobody looked at the request; after the other resets the push is kept.
    """

    token: str
    status: int | None = None
    reason: str = ""
    retry_after: int | None = None
    hang: Hang | None = None
    reset: Reset | None = None
    slow: float | None = None

    def __post_init__(self) -> None:
        kinds = (self.status, self.hang, self.reset, self.slow)
        wrong = (
            sum(kind is not None for kind in kinds) != 1
            or (self.status is not None and not 400 <= self.status <= 599)
            or (self.hang is not None and self.hang not in get_args(Hang))
            or (self.reset is not None and self.reset not in get_args(Reset))
            or (self.hang == "before_request" and bool(self.token))
        )
        if wrong:
            raise MalformedFault(_FORM)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "token": (str,),
    "status": (int,),
    "reason": (str,),
    "retry_after": (int,),
    "hang": (str,),
    "reset": (str,),
    "slow": (int, float),
}


def parse(value: object) -> Fault:
    """Raises MalformedFault."""
    known = {field.name for field in fields(Fault)}
    if not isinstance(value, dict) or "token" not in value or not value.keys() <= known:
        raise MalformedFault(_FORM)
    if not all(isinstance(said, _TYPES[name]) for name, said in value.items()):
        raise MalformedFault(_FORM)
    return Fault(**value)


class Faults:
    """The last fault set for a token holds, until all are cleared."""

    def __init__(self) -> None:
        self._by_token: dict[str, Fault] = {}
        self._cleared = asyncio.Event()

    def set(self, fault: Fault) -> None:
        self._by_token[fault.token] = fault

    def clear(self) -> None:
        """Who hangs is let go."""
        self._by_token.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    def of(self, token: str) -> Fault | None:
        return self._by_token.get(token) or self._by_token.get("")

    @property
    def deaf(self) -> bool:
        """Nothing that comes is read."""
        fault = self._by_token.get("")
        return fault is not None and fault.hang == "before_request"

    async def hang(self) -> None:
        await self._cleared.wait()

    def as_json(self) -> list[Mapping[str, object]]:
        return [asdict(fault) for fault in self._by_token.values()]
