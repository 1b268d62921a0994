"""Profiles that may be the same person as a given one."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.duplicates import LikelyDuplicate, signals
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLikelyDuplicates:
    """`after` is the number of signals and the id of the last one of a page."""

    caller: Caller
    profile_id: UUID
    page_size: int
    after: tuple[int, UUID] | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is where the following page begins, or None at the end."""

    likely_duplicates: Sequence[LikelyDuplicate]
    next: tuple[int, UUID] | None


async def list_likely_duplicates(tx: Transaction, command: ListLikelyDuplicates) -> Page:
    """Those that share most first; none that is merged away."""
    profile = await access_profile(tx, command.profile_id)
    found = await tx.profiles.likely_duplicates(
        profile, after=command.after, most=command.page_size + 1
    )
    shown = [LikelyDuplicate(other, signals(profile, other)) for other in found]
    if len(shown) <= command.page_size:
        return Page(shown, None)
    shown.pop()
    return Page(shown, (len(shown[-1].signals), shown[-1].profile.id))
