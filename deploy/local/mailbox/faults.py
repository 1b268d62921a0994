"""What the mail server shall do wrong, as a test has programmed it."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, get_args

Hang = Literal["before_data", "after_data"]


class MalformedFault(Exception):
    """The message says what a fault looks like."""


@dataclass(frozen=True, slots=True)
class Fault:
    """For one recipient, or for all where it is empty: an answer to RCPT, or a silence.

    A client that hangs before DATA knows that nothing was sent; after DATA the mail is kept, and
    the client cannot know.
    """

    recipient: str
    code: int | None = None
    hang: Hang | None = None

    def __post_init__(self) -> None:
        wrong_code = self.code is not None and not 400 <= self.code <= 599
        wrong_hang = self.hang is not None and self.hang not in get_args(Hang)
        if wrong_code or wrong_hang or (self.code is None) == (self.hang is None):
            raise MalformedFault(
                'A fault is {"recipient": "a@b.test", "code": 400 to 599} or {"recipient": '
                '"a@b.test", "hang": "before_data" or "after_data"}; an empty recipient means all.'
            )


def parse(value: object) -> Fault:
    """Raises MalformedFault."""
    match value:
        case {"recipient": str(recipient), "code": int(code), **rest} if not rest:
            return Fault(recipient, code=code)
        case {"recipient": str(recipient), "hang": str(hang), **rest} if not rest:
            return Fault(recipient, hang=_hang(hang))
    return Fault("")


def _hang(text: str) -> Hang | None:
    return next((known for known in get_args(Hang) if known == text), None)


class Faults:
    """The last fault set for a recipient holds, until all are cleared."""

    def __init__(self) -> None:
        self._by_recipient: dict[str, Fault] = {}
        self._cleared = asyncio.Event()

    def set(self, fault: Fault) -> None:
        self._by_recipient[fault.recipient.lower()] = fault

    def clear(self) -> None:
        """Who hangs is let go."""
        self._by_recipient.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    def of(self, recipient: str) -> Fault | None:
        return self._by_recipient.get(recipient.lower()) or self._by_recipient.get("")

    async def hang(self) -> None:
        await self._cleared.wait()

    def as_json(self) -> list[Mapping[str, object]]:
        return [asdict(fault) for fault in self._by_recipient.values()]
