"""The building of an export: in attempts, each of which goes on where the last one came to."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.export.domain.export import Export
from services.export.domain.stream import Place
from services.export_format.layout import NO_LINE

MOST_ATTEMPTS = 20
_LONGEST_PAUSE = timedelta(minutes=10)


class LeaseLost(Exception):
    """Somebody else builds this export now, or nobody is to."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file of lines is complete; `link` is the hash of its last line."""

    bytes: int = 0
    lines: int = 0
    link: str = NO_LINE


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is safe: the messages up to `mark`, which end at `place`, of so many conversations of
    which all is told; `all_told`: of all of them.
    """

    mark: Mark = Mark()
    place: Place | None = None
    conversations: int = 0
    all_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An attempt at an export, held by `lease_id`.

    The attempt before it, of `earlier_lease_id`, left `checkpoint`. `staff_name` is the staff
    member's name as it was when the job began.
    """

    export: Export
    lease_id: UUID
    earlier_lease_id: UUID | None
    checkpoint: Checkpoint | None
    staff_name: str | None
    attempts: int


def pause_after(attempts: int) -> timedelta | None:
    """How long to wait after so many attempts without progress; None: give up, after two hours."""
    if attempts >= MOST_ATTEMPTS:
        return None
    return min(timedelta(seconds=2 ** (attempts - 1)), _LONGEST_PAUSE)
