"""What the directory says that a clinic, a person or a session now is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from services.messaging_rule import Override, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Later incarnations of the directory's database come first, then higher versions."""

    incarnation: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicState:
    clinic_id: UUID
    stamp: Version
    details_version: int
    messaging_allowed: bool
    mail_hold: timedelta
    away_after: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffState:
    clinic_id: UUID
    staff_id: UUID
    stamp: Version
    details_version: int
    active: bool
    deactivation_id: UUID | None
    opted_in_at: datetime | None
    account_owner: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileState:
    clinic_id: UUID
    profile_id: UUID
    stamp: Version
    details_version: int
    override: Override
    merged_into: UUID | None
    merge_id: UUID | None
    do_not_email: bool
    unmerged_at: datetime | None = None
    mailable_since: datetime | None = None


class EndCause(StrEnum):
    LOGOUT = "LOGOUT"
    EXPIRED = "EXPIRED"
    DEACTIVATED = "DEACTIVATED"
    MERGED = "MERGED"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    clinic_id: UUID
    session_id: UUID
    stamp: Version
    side: Side
    person_id: UUID
    opened_at: datetime
    last_activity_at: datetime
    ended_at: datetime | None
    end_cause: EndCause | None


State = ClinicState | StaffState | ProfileState | SessionState
