"""What a replay measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Measured:
    """Seconds of each SendMessage as its client saw them, and from each send to its mail."""

    sends: list[float] = field(default_factory=list)
    mails: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def messages_a_second(self) -> float:
        return len(self.sends) / self.seconds if self.seconds else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def milliseconds(values: Sequence[float], share: float) -> str:
    return f"{percentile(values, share) * 1000:.0f} ms"
