"""Taking back what devices show: of a thread that was read, or a message that was deleted (I17).

Best effort: it costs a person nothing but a look when it never comes. So it is tried a few times,
and what is asked for while one waits is one with it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

# The push that it takes back may be on its way.
WAIT = timedelta(seconds=1)
# Longer than any try takes: who died in it leaves it to another.
LEASE = timedelta(seconds=60)
_MOST_TRIES = 5
_FIRST_PAUSE = timedelta(seconds=10)
_KEPT_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Clear:
    """What the devices of a profile show of one conversation."""

    clinic_id: UUID
    profile_id: UUID
    conversation_id: UUID


@dataclass(frozen=True, slots=True)
class Claimed:
    """`wanted_at` tells it from what is asked for later; `still_shown`: something pushed of the
    conversation is neither read nor deleted."""

    clear: Clear
    wanted_at: datetime
    tries: int
    still_shown: bool

    @property
    def clinic_id(self) -> UUID:
        return self.clear.clinic_id


def next_try(claimed: Claimed, *, now: datetime, not_before: datetime | None) -> datetime | None:
    """When to try again what the provider did not take, or None to let it be."""
    at = max(now + _FIRST_PAUSE * 2 ** (claimed.tries - 1), not_before or now)
    return None if claimed.tries >= _MOST_TRIES else next_turn(claimed, at)


def next_turn(claimed: Claimed, at: datetime) -> datetime | None:
    """`at`, or None where nobody misses it by then any more."""
    return None if at > claimed.wanted_at + _KEPT_FOR else at
