"""Addresses that are mailed no more, for support."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis.identity import Caller
from services.notifications.domain.suppression import Suppression
from services.notifications.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSuppressions:
    caller: Caller
    recipient_id: UUID | None
    include_lifted: bool
    page_size: int
    after: tuple[datetime, UUID] | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is where the following page begins, or None at the end."""

    suppressions: Sequence[Suppression]
    next: tuple[datetime, UUID] | None


async def list_suppressions(tx: Transaction, command: ListSuppressions) -> Page:
    found = await tx.suppressions.page(
        command.recipient_id,
        include_lifted=command.include_lifted,
        after=command.after,
        most=command.page_size + 1,
    )
    shown = found[: command.page_size]
    more = len(found) > command.page_size
    return Page(shown, (shown[-1].created_at, shown[-1].id) if more else None)
