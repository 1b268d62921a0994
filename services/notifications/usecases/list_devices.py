"""The calling profile's own devices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis.identity import Caller
from services.notifications.domain.device import Device
from services.notifications.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDevices:
    caller: Caller
    page_size: int
    after: tuple[datetime, UUID] | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is where the following page begins, or None at the end."""

    devices: Sequence[Device]
    next: tuple[datetime, UUID] | None


async def list_devices(tx: Transaction, command: ListDevices) -> Page:
    found = await tx.devices.page(
        command.caller.person, after=command.after, most=command.page_size + 1
    )
    shown = found[: command.page_size]
    more = len(found) > command.page_size
    return Page(shown, (shown[-1].registered_at, shown[-1].id) if more else None)
