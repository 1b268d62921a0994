"""A patient or contact of a clinic: whom messages belong to, whatever the login (R42)."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from services.directory.domain.wording import (
    checked_birth_date,
    checked_email,
    checked_name,
    checked_optional_name,
    checked_phone,
    phone_key,
)
from services.messaging_rule import Override


class ProfileKind(StrEnum):
    """Both are messaged alike (R40); a contact may become a patient and keeps its threads (I30)."""

    PATIENT = "PATIENT"
    CONTACT = "CONTACT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`merged_into` and `merge_id` are set together, while a merge stands."""

    clinic_id: UUID
    id: UUID
    kind: ProfileKind
    display_name: str
    preferred_name: str
    email: str
    phone: str
    birth_date: date | None
    do_not_email: bool
    override: Override
    merged_into: UUID | None
    merge_id: UUID | None
    version: int
    details_version: int
    created_at: datetime

    @property
    def searchable(self) -> str:
        """All that the search finds a profile by, in one text."""
        spoken = (self.display_name, self.preferred_name, self.email)
        return " ".join((*spoken, self.phone, phone_key(self.phone)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChanges:
    """What to change; None leaves a field as it is, an empty text takes it away."""

    kind: ProfileKind | None = None
    display_name: str | None = None
    preferred_name: str | None = None
    email: str | None = None
    phone: str | None = None
    birth_date: str | None = None
    do_not_email: bool | None = None
    override: Override | None = None


def new_profile(changes: ProfileChanges, *, clinic_id: UUID, id: UUID, now: datetime) -> Profile:
    """A profile as it is first saved; a patient unless it says otherwise.

    Raises InvalidArgument with the name of the field that cannot be.
    """
    blank = Profile(
        clinic_id=clinic_id,
        id=id,
        kind=ProfileKind.PATIENT,
        display_name="",
        preferred_name="",
        email="",
        phone="",
        birth_date=None,
        do_not_email=False,
        override=Override.INHERIT,
        merged_into=None,
        merge_id=None,
        version=1,
        details_version=1,
        created_at=now,
    )
    named = replace(changes, display_name=changes.display_name or "")
    return changed_profile(blank, named, now=now)


def changed_profile(profile: Profile, changes: ProfileChanges, *, now: datetime) -> Profile:
    """The profile after these changes, its id kept; versions are raised where it is saved.

    Raises InvalidArgument with the name of the field that cannot be.
    """
    changed = replace(profile, kind=changes.kind or profile.kind)
    if changes.display_name is not None:
        name = checked_name(changes.display_name, field="profile.display_name")
        changed = replace(changed, display_name=name)
    if changes.preferred_name is not None:
        name = checked_optional_name(changes.preferred_name, field="profile.preferred_name")
        changed = replace(changed, preferred_name=name)
    if changes.email is not None:
        email = checked_email(changes.email, field="profile.email")
        changed = replace(changed, email=email)
    if changes.phone is not None:
        changed = replace(changed, phone=checked_phone(changes.phone, field="profile.phone"))
    if changes.birth_date is not None:
        day = checked_birth_date(changes.birth_date, field="profile.birth_date", now=now)
        changed = replace(changed, birth_date=day)
    if changes.do_not_email is not None:
        changed = replace(changed, do_not_email=changes.do_not_email)
    return replace(changed, override=changes.override or changed.override)


def gates_of(profile: Profile) -> tuple[Override, bool]:
    """What of a profile decides on messages, besides merges."""
    return profile.override, profile.do_not_email
