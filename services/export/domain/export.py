"""An export: one staff member's messages up to a moment, for the Account Owner (R43 to R47)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from services.export.domain.errors import ExportFinished, ExportNotReady

KEPT_FOR = timedelta(days=7)


class State(StrEnum):
    """APPROVED, RUNNING and READY follow one another; the others end an export."""

    APPROVED = "APPROVED"
    RUNNING = "RUNNING"
    READY = "READY"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


# While it is in one of these, its files are kept.
HOLDING_FILES = frozenset({State.APPROVED, State.RUNNING, State.READY})


class Scope(StrEnum):
    STAFF_MEMBER = "STAFF_MEMBER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """`requester` is a keyed hash of the address that the request came from.

    `conversations` and `messages` count what is written so far.
    """

    clinic_id: UUID
    id: UUID
    staff_id: UUID
    scope: Scope
    state: State
    owner_id: UUID
    requester: bytes
    created_at: datetime
    cutoff_at: datetime
    expires_at: datetime | None
    conversations: int
    messages: int


def check_ready(export: Export) -> None:
    """Raises ExportNotReady unless its files can be fetched."""
    if export.state is not State.READY:
        raise ExportNotReady("There is nothing to fetch of this export", state=export.state)


def check_cancellable(export: Export) -> None:
    """Raises ExportFinished once it is built, or cannot be built any more."""
    if export.state not in (State.APPROVED, State.RUNNING):
        raise ExportFinished("This export is not being built", state=export.state)
