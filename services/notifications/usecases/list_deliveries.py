"""The deliveries of a conversation or to one person, for support and for explaining."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis.identity import Caller
from services.notifications.domain.delivery import Delivery
from services.notifications.storage.deliveries import Selection
from services.notifications.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDeliveries:
    caller: Caller
    selection: Selection
    page_size: int
    after: tuple[datetime, UUID] | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is where the following page begins, or None at the end."""

    deliveries: Sequence[Delivery]
    next: tuple[datetime, UUID] | None


async def list_deliveries(tx: Transaction, command: ListDeliveries) -> Page:
    found = await tx.deliveries.page(
        command.selection, after=command.after, most=command.page_size + 1
    )
    shown = found[: command.page_size]
    more = len(found) > command.page_size
    return Page(shown, (shown[-1].decided_at, shown[-1].id) if more else None)
