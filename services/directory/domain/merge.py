"""Two profiles declared to be one person (I4 to I7, I29).

Profiles form a graph: each merged-away profile points to one other. A merge adds an arrow from a
profile that has none to another that has none, so there is never a cycle, and each merge takes
back its own arrow only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.directory.domain.errors import MergeCycle, ProfileMerged, SelfMerge
from services.directory.domain.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """`unmerged_at` is None while the merge stands."""

    clinic_id: UUID
    id: UUID
    primary_profile_id: UUID
    secondary_profile_id: UUID
    actor: str
    merged_at: datetime
    unmerge_actor: str | None = None
    unmerged_at: datetime | None = None

    @property
    def in_force(self) -> bool:
        return self.unmerged_at is None


def check_distinct(primary_id: UUID, secondary_id: UUID) -> None:
    """Raises SelfMerge: a profile merged into itself would lose its threads."""
    if primary_id == secondary_id:
        raise SelfMerge(
            "A profile cannot be merged into itself",
            field="secondary_profile_id",
            profile_id=str(primary_id),
        )


def check_mergeable(primary: Profile, secondary: Profile, *, chain: Sequence[UUID]) -> None:
    """May `secondary` be merged into `primary`? `chain` is where the primary leads to by the
    merges in force, the survivor last; empty while it lives.

    Raises MergeCycle where the primary was itself merged into the secondary, by whatever way;
    ProfileMerged where it was merged into another. Kinds do not matter: the primary's stays (I29).
    """
    if secondary.id in chain:
        raise MergeCycle(
            "The primary profile was merged into the secondary one; undo that merge first",
            primary_profile_id=str(primary.id),
            secondary_profile_id=str(secondary.id),
        )
    check_lives(primary, chain=chain)


def check_lives(profile: Profile, *, chain: Sequence[UUID]) -> None:
    """Raises ProfileMerged, with the surviving id, for a profile that is merged away."""
    if profile.merged_into is not None:
        raise ProfileMerged(
            "The profile was merged away; use the surviving one",
            profile_id=str(profile.id),
            surviving_profile_id=str(chain[-1]),
        )
