"""What the directory says of a thread's three parties, and what follows from it."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from services.messaging_rule import (
    Facts,
    Override,
    Side,
    WhyNot,
    why_not_message,
    why_not_write,
    whys_not_message,
)


class Cause(StrEnum):
    MERGED_AWAY = "MERGED_AWAY"
    STAFF_INACTIVE = "STAFF_INACTIVE"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a thread is archived; `id` is the merge or the deactivation that caused it."""

    cause: Cause
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The clinic, the staff member and the profile of a thread, as far as its rules ask.

    `deactivation_id` is set while the staff member is inactive, `merge_id` and `merged_into` while
    the profile is merged away.
    """

    clinic_allows: bool
    deactivation_id: UUID | None
    override: Override
    merge_id: UUID | None
    merged_into: UUID | None
    do_not_email: bool


def reasons_in_force(people: People) -> frozenset[Reason]:
    """Archival is what the two people's states say now; nothing sets or clears it (I1 to I6)."""
    reasons = set()
    if people.merge_id is not None:
        reasons.add(Reason(Cause.MERGED_AWAY, people.merge_id))
    if people.deactivation_id is not None:
        reasons.add(Reason(Cause.STAFF_INACTIVE, people.deactivation_id))
    return frozenset(reasons)


def may_see(side: Side, people: People, *, last_sequence: int) -> bool:
    """May this participant reach the thread at all (R9, R49)?"""
    if side is Side.STAFF:
        return True
    return people.merge_id is None and last_sequence > 0


def why_not_send(side: Side, people: People) -> WhyNot | None:
    """Why this side may not write now, or None (R1, R3, R49, R54, I13 to I15)."""
    facts = _facts(people)
    return why_not_message(facts) if side is Side.STAFF else why_not_write(facts)


def all_that_stands_between(people: People) -> list[WhyNot]:
    """Every rule that keeps the staff member from writing, the one that a send is told of first."""
    return whys_not_message(_facts(people))


def _facts(people: People) -> Facts:
    return Facts(
        clinic_allows=people.clinic_allows,
        staff_active=people.deactivation_id is None,
        override=people.override,
        profile_merged=people.merge_id is not None,
        do_not_email=people.do_not_email,
    )
