"""A patient or contact of a clinic: whom messages belong to, whatever the login (R42)."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol
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
    """`merged_into` and `merge_id` are set together, while a merge stands. `unmerged_at` and
    `mailable_since` say when a merge was last undone and Do Not Email last turned off: what was
    sent before stays untold (I10, I14).
    """

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
    unmerged_at: datetime | None = None
    mailable_since: datetime | None = None
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
    birth_date, flag = profile.birth_date, changes.do_not_email
    name = _taken(checked_name, changes.display_name, profile.display_name, "display_name")
    preferred = _taken(
        checked_optional_name, changes.preferred_name, profile.preferred_name, "preferred_name"
    )
    email = _taken(checked_email, changes.email, profile.email, "email")
    phone = _taken(checked_phone, changes.phone, profile.phone, "phone")
    if changes.birth_date is not None:
        birth_date = checked_birth_date(changes.birth_date, field="profile.birth_date", now=now)
    return replace(
        profile,
        kind=changes.kind or profile.kind,
        display_name=name,
        preferred_name=preferred,
        email=email,
        phone=phone,
        birth_date=birth_date,
        do_not_email=profile.do_not_email if flag is None else flag,
        mailable_since=now if profile.do_not_email and flag is False else profile.mailable_since,
        override=changes.override or profile.override,
    )


class _Check(Protocol):
    def __call__(self, text: str, *, field: str) -> str: ...


def _taken(check: _Check, wanted: str | None, held: str, field: str) -> str:
    return held if wanted is None else check(wanted, field=f"profile.{field}")


def gates_of(profile: Profile) -> tuple[Override, bool]:
    """What of a profile decides on messages, besides merges."""
    return profile.override, profile.do_not_email
