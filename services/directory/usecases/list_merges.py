"""Who was merged into whom, and what was undone."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.merge import Merge
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMerges:
    """`profile_id` None asks for all of the clinic; `before` is the last merge of a page."""

    caller: Caller
    profile_id: UUID | None
    include_undone: bool
    page_size: int
    before: UUID | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is where the following page begins, or None at the end."""

    merges: Sequence[Merge]
    next: UUID | None


async def list_merges(tx: Transaction, command: ListMerges) -> Page:
    """The newest first."""
    if command.profile_id is not None:
        await access_profile(tx, command.profile_id)
    found = await tx.merges.page(
        profile_id=command.profile_id,
        with_undone=command.include_undone,
        before=command.before,
        most=command.page_size + 1,
    )
    shown = found[: command.page_size]
    return Page(shown, shown[-1].id if len(found) > len(shown) else None)
