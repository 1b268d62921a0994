"""What the mail server shall do wrong, as a test has programmed it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from deploy.local import faults
from deploy.local.faults import MalformedFault

# Where in the talk: at MAIL, RCPT and DATA, and once all of the mail is there.
Step = Literal["mail", "rcpt", "data", "end"]
Hang = Literal["before_data", "after_data"]

_HANGS_AT: Mapping[Hang, Step] = {"before_data": "rcpt", "after_data": "end"}
_LONGEST_PAUSE_SECONDS = 600.0
_WORDS = (
    'A fault is {"recipient": "a@b.test"} with one of "code": 400 to 599; "hang": "before_data" or '
    '"after_data"; "reset": true; "slow": seconds. All but hang may say "at": "mail", "rcpt" (which'
    ' it is without), "data" or "end". An empty recipient means all; at "mail" there is no other.'
)


@dataclass(frozen=True, slots=True)
class Fault:
    """For one recipient, or for all where it is empty: a refusal, a silence, a cut, or a delay.

    A client that hangs, or is cut off, before DATA knows that nothing was sent; after DATA the mail
    is kept, and the client cannot know. A mail that is refused at the end is not kept.
    """

    recipient: str
    code: int | None = None
    hang: Hang | None = None
    reset: bool = False
    slow: float | None = None
    at: Step = "rcpt"

    def __post_init__(self) -> None:
        kinds = (self.code is not None, self.hang is not None, self.reset, self.slow is not None)
        right = (
            sum(kinds) == 1
            and (self.code is None or 400 <= self.code <= 599)
            and (self.hang is None or self.hang in _HANGS_AT)
            and (self.slow is None or 0 < self.slow <= _LONGEST_PAUSE_SECONDS)
            and self.at in get_args(Step)
            and (self.at != "mail" or not self.recipient)
        )
        if not right:
            raise MalformedFault(_WORDS)

    @property
    def step(self) -> Step:
        return self.at if self.hang is None else _HANGS_AT[self.hang]


def parse(value: object) -> Fault:
    """Raises MalformedFault."""
    if not isinstance(value, dict) or not isinstance(value.get("recipient"), str):
        raise MalformedFault(_WORDS)
    kinds: Mapping[str, tuple[type, ...]] = {
        "recipient": (str,),
        "code": (int,),
        "hang": (str,),
        "reset": (bool,),
        "slow": (int, float),
        "at": (str,),
    }
    for name, given in value.items():
        if name not in kinds or not isinstance(given, kinds[name]):
            raise MalformedFault(_WORDS)
    return Fault(**value)


class Faults(faults.Faults[Fault]):
    def set(self, fault: Fault) -> None:
        self._held[fault.recipient.lower()] = fault

    def of(self, recipient: str) -> Fault | None:
        return self._held.get(recipient.lower()) or self._held.get("")

    def at(self, step: Step, recipients: list[str]) -> Fault | None:
        """What goes wrong at this step of a mail to these; at MAIL there are none yet."""
        found = (self.of(recipient) for recipient in recipients or [""])
        return next((fault for fault in found if fault is not None and fault.step == step), None)
