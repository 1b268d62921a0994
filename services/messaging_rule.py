"""May this staff member message this profile, and if not, why not: the one place that says so.

Used by the directory's search before a thread exists (R5, `can_message`) and by conversations at
every start and send (R1, R3, R41, I13, I15, I38).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """The two sides of a thread, and of a session: a human may have a session on each (R37)."""

    STAFF = "staff"
    PROFILE = "profile"

    @property
    def other(self) -> "Side":
        return Side.PROFILE if self is Side.STAFF else Side.STAFF


class Override(StrEnum):
    """A profile's own setting; ALLOW and BLOCK win over the clinic's default (R3)."""

    INHERIT = "INHERIT"
    ALLOW = "ALLOW"
    BLOCK = "BLOCK"


class WhyNot(StrEnum):
    """The first rule that stands in the way, in the order in which refusals are given."""

    PROFILE_MERGED = "PROFILE_MERGED"
    STAFF_INACTIVE = "STAFF_INACTIVE"
    MESSAGING_DISABLED = "MESSAGING_DISABLED"
    MESSAGING_BLOCKED = "MESSAGING_BLOCKED"
    RECIPIENT_DO_NOT_EMAIL = "RECIPIENT_DO_NOT_EMAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the directory says of the three parties, as far as messaging depends on it."""

    clinic_allows: bool
    staff_active: bool
    override: Override
    profile_merged: bool
    do_not_email: bool


def why_not_write(facts: Facts) -> WhyNot | None:
    """Why neither side may write, or None: archival first, then the gate of policy and override."""
    return next(_whys_not_write(facts), None)


def why_not_message(facts: Facts) -> WhyNot | None:
    """Why the staff member may not write to the profile, or None.

    Do Not Email limits the clinic's side only: the profile may still reply (I14).
    """
    return next(_whys_not_message(facts), None)


def whys_not_message(facts: Facts) -> list[WhyNot]:
    """Every rule that stands in the way, for explaining: `why_not_message` is the first of them."""
    return list(_whys_not_message(facts))


def _whys_not_write(facts: Facts) -> Iterator[WhyNot]:
    if facts.profile_merged:
        yield WhyNot.PROFILE_MERGED
    if not facts.staff_active:
        yield WhyNot.STAFF_INACTIVE
    if facts.override is Override.BLOCK:
        yield WhyNot.MESSAGING_BLOCKED
    if facts.override is Override.INHERIT and not facts.clinic_allows:
        yield WhyNot.MESSAGING_DISABLED


def _whys_not_message(facts: Facts) -> Iterator[WhyNot]:
    yield from _whys_not_write(facts)
    if facts.do_not_email:
        yield WhyNot.RECIPIENT_DO_NOT_EMAIL
