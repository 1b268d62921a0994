"""A person who works at a clinic, and what the access levels let one do."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.chassis.errors import InvalidArgument
from services.directory.domain.errors import (
    FullAccessRequired,
    NotOneself,
    OwnerCannotBeDeactivated,
    OwnerRequired,
    StaffInactive,
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
    """`deactivation_id` is the cause of every archived thread; None while active.

    `mail_opted_in_at` None: no mail about new messages (R23).
    """

    clinic_id: UUID
    id: UUID
    kind: StaffKind
    access_level: AccessLevel
    account_owner: bool
    display_name: str
    email: str
    deactivation_id: UUID | None = None
    deactivated_at: datetime | None = None
    mail_opted_in_at: datetime | None = None
    version: int = 1
    details_version: int = 1
    created_at: datetime

    @property
    def active(self) -> bool:
        return self.deactivation_id is None

    @property
    def has_full_access(self) -> bool:
        """The Account Owner ranks above full access, whatever the level says."""
        return self.account_owner or self.access_level is AccessLevel.FULL

    @property
    def has_standard_access(self) -> bool:
        return self.has_full_access or self.access_level is AccessLevel.STANDARD


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffChanges:
    """What to change; None leaves a field as it is, an empty address takes it away."""

    kind: StaffKind | None = None
    access_level: AccessLevel | None = None
    display_name: str | None = None
    email: str | None = None


def check_standard_access(member: StaffMember) -> None:
    if not member.has_standard_access:
        raise StandardAccessRequired("This needs standard or full access")


def check_full_access(member: StaffMember) -> None:
    if not member.has_full_access:
        raise FullAccessRequired("This needs full access, or the Account Owner")


def check_owner(member: StaffMember) -> None:
    if not member.account_owner:
        raise OwnerRequired("Only the Account Owner may do this", staff_id=str(member.id))


def check_may_change(actor: StaffMember, member: StaffMember) -> None:
    """Full access changes anybody's record but the Account Owner's, which only the owner does:
    else whoever has full access could take the owner's address over (I24).

    Raises FullAccessRequired or OwnerRequired.
    """
    check_full_access(actor)
    if member.account_owner and actor.id != member.id:
        raise OwnerRequired(
            "The Account Owner's record is changed by the owner alone", staff_id=str(member.id)
        )


def new_staff_member(
    changes: StaffChanges, *, clinic_id: UUID, id: UUID, now: datetime
) -> StaffMember:
    """A member as first saved: active, without mail about messages (R23).

    Raises InvalidArgument with the name of the field that is missing or cannot be.
    """
    if changes.kind is None or changes.access_level is None:
        field = "kind" if changes.kind is None else "access_level"
        raise InvalidArgument(f"{field} is needed", field=f"staff_member.{field}")
    return StaffMember(
        clinic_id=clinic_id,
        id=id,
        kind=changes.kind,
        access_level=changes.access_level,
        account_owner=False,
        display_name=checked_name(changes.display_name or "", field="staff_member.display_name"),
        email=checked_email(changes.email or "", field="staff_member.email"),
        created_at=now,
    )


def new_owner(
    *, clinic_id: UUID, id: UUID, display_name: str, email: str, now: datetime
) -> StaffMember:
    """The first member of a clinic, whose address exports are asked for from (R43).

    Raises InvalidArgument with the field's name.
    """
    address = checked_email(email, field="owner_email")
    if not address:
        raise InvalidArgument("owner_email is needed", field="owner_email")
    return StaffMember(
        clinic_id=clinic_id,
        id=id,
        kind=StaffKind.ADMINISTRATOR,
        access_level=AccessLevel.FULL,
        account_owner=True,
        display_name=checked_name(display_name, field="owner_display_name"),
        email=address,
        created_at=now,
    )


def changed_member(member: StaffMember, changes: StaffChanges) -> StaffMember:
    """The member after these changes. Raises InvalidArgument with the field's name."""
    name, email = member.display_name, member.email
    if changes.display_name is not None:
        name = checked_name(changes.display_name, field="staff_member.display_name")
    if changes.email is not None:
        email = checked_email(changes.email, field="staff_member.email")
    return replace(
        member,
        kind=changes.kind or member.kind,
        access_level=changes.access_level or member.access_level,
        display_name=name,
        email=email,
    )


def check_oneself(actor_id: UUID, staff_id: UUID) -> None:
    """Nobody else sets a person's own preferences, whatever their access (R23)."""
    if actor_id != staff_id:
        raise NotOneself("Only the person may set this", staff_id=str(staff_id))


def opted_in(member: StaffMember, *, now: datetime) -> StaffMember:
    """Ticked: messages from now on are mailed (R26); what was ticked keeps its time."""
    return member if member.mail_opted_in_at else replace(member, mail_opted_in_at=now)


def opted_out(member: StaffMember, *, of_mail_at: datetime | None = None) -> StaffMember:
    """Unticked. A mail of that time unticks only what made it: what was ticked since stays."""
    ticked_at = member.mail_opted_in_at
    if ticked_at is not None and of_mail_at is not None and ticked_at > of_mail_at:
        return member
    return replace(member, mail_opted_in_at=None)


def deactivated(member: StaffMember, *, deactivation_id: UUID, now: datetime) -> StaffMember:
    """Marked inactive, which archives all threads at that moment (R53).

    Raises OwnerCannotBeDeactivated: a clinic always has its owner.
    """
    if member.account_owner:
        raise OwnerCannotBeDeactivated(
            "The Account Owner cannot be deactivated; transfer ownership first",
            staff_id=str(member.id),
        )
    return replace(member, deactivation_id=deactivation_id, deactivated_at=now)


def reactivated(member: StaffMember) -> StaffMember:
    return replace(member, deactivation_id=None, deactivated_at=None)


def check_active(member: StaffMember) -> None:
    if not member.active:
        raise StaffInactive("The staff member is deactivated", staff_id=str(member.id))


def handed_over(owner: StaffMember) -> StaffMember:
    """The former owner, who keeps full access."""
    return replace(owner, account_owner=False, access_level=AccessLevel.FULL)
