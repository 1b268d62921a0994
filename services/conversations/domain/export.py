"""What export is told of a thread: everything up to a cut-off, archived and departed included."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.conversations.domain.people import Cause


@dataclass(frozen=True, slots=True)
class ArchivePeriod:
    """A time during which a reason was in force; `ended_at` is None where it was at the cut-off."""

    cause: Cause
    cause_id: UUID
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedThread:
    """A thread's head; its messages follow."""

    clinic_id: UUID
    id: UUID
    staff_id: UUID
    profile_id: UUID
    created_at: datetime
    archive_periods: tuple[ArchivePeriod, ...]
