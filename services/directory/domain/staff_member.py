"""A person who works at a clinic, and what the access levels let one do."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.directory.domain.errors import (
    AccountOwnerRequired,
    FullAccessRequired,
    NotificationPreferenceNotOwn,
    StaffMemberInactive,
    StandardAccessRequired,
)
from services.directory.domain.wording import checked_email, checked_name


class StaffKind(StrEnum):
    PRACTITIONER = "PRACTITIONER"
    ADMINISTRATOR = "ADMINISTRATOR"


class AccessLevel(StrEnum):
    LIMITED = "LIMITED"
    STANDARD = "STANDARD"
    FULL = "FULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffMember:
    """`deactivation_id` is the cause of every archived thread; None while active."""

    clinic_id: UUID
    id: UUID
    kind: StaffKind
    access_level: AccessLevel
    account_owner: bool
    display_name: str
    email: str
    active: bool
    deactivation_id: UUID | None
    deactivated_at: datetime | None
    mail_opted_in_at: datetime | None
    version: int
    details_version: int
    created_at: datetime

    @property
    def has_full_access(self) -> bool:
        """The Account Owner ranks above full access, whatever the level says."""
        return self.account_owner or self.access_level is AccessLevel.FULL
