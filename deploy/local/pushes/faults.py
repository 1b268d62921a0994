"""What the push services shall do wrong, as a test has programmed it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from deploy.local import faults
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


class Faults(faults.Faults[Fault]):
    def set(self, fault: Fault) -> None:
        self._held[fault.token] = fault

    def of(self, token: str) -> Fault | None:
        return self._held.get(token) or self._held.get("")

    @property
    def deaf(self) -> bool:
        """Nothing that comes is read."""
        fault = self._held.get("")
        return fault is not None and fault.hang == "before_request"
