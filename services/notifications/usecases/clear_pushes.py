"""Silent pushes that take back what was read or deleted, and set the badge (I16, I17)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis.errors import DomainError
from services.chassis.ids import uuid7
from services.notifications.channels.failures import ChannelFailure, DeviceGone, TryLater
from services.notifications.channels.push import PushChannel
from services.notifications.domain.clear import Claimed, Clear, next_try, next_turn
from services.notifications.domain.device import DeviceAddress
from services.notifications.domain.push import Push
from services.notifications.storage.unit_of_work import Storage, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearWorks:
    """What it takes. `get_badge` tells a profile's unread messages."""

    storage: Storage
    get_badge: Callable[[UUID, UUID], Awaitable[int]]
    channel: PushChannel


@dataclass(frozen=True, slots=True)
class Ready:
    claimed: Claimed
    devices: Sequence[DeviceAddress]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """`again`: some device's provider has not taken it, and may; not before the time it named.
    `turn`: no provider was asked, for one has had as much as it takes until then."""

    claimed: Claimed
    again: bool = False
    not_before: datetime | None = None
    turn: datetime | None = None
    gone: Sequence[DeviceAddress] = ()

    @property
    def clinic_id(self) -> UUID:
        return self.claimed.clinic_id


async def clear_pushes(command: Clear, *, works: ClearWorks) -> None:
    """Try once. A crash leaves it to the next worker: twice is as good as once."""
    ready = await works.storage.act(_claim, command)
    if ready is not None:
        await works.storage.act(_settle, await _sent(works, ready))


async def _claim(tx: Transaction, command: Clear) -> Ready | None:
    claimed = await tx.batch.clears.claim(command)
    if claimed is None:
        return None
    return Ready(claimed, await tx.devices.of(command.profile_id))


async def _settle(tx: Transaction, command: Ended) -> None:
    await tx.devices.drop(command.gone)
    claimed, due_at = command.claimed, None
    if command.turn is not None:
        due_at = next_turn(claimed, command.turn)
    elif command.again:
        due_at = next_try(claimed, now=tx.now, not_before=command.not_before)
    await tx.batch.clears.settle(claimed, due_at=due_at)


async def _sent(works: ClearWorks, ready: Ready) -> Ended:
    claimed, clear = ready.claimed, ready.claimed.clear
    if not ready.devices:
        return Ended(claimed=claimed)
    try:
        badge = await works.get_badge(clear.clinic_id, clear.profile_id)
    except DomainError:
        return Ended(claimed=claimed, again=True)
    if (turn := works.channel.take_turn(ready.devices)) is not None:
        return Ended(claimed=claimed, turn=turn)
    push = Push(
        dispatch_id=uuid7(),
        collapse_id=clear.conversation_id,
        profile_id=clear.profile_id,
        conversation_id=None if claimed.still_shown else clear.conversation_id,
        badge=badge,
        silent=True,
    )
    tried = await asyncio.gather(*(_tried(works, device, push) for device in ready.devices))
    later = [failure for failure in tried if isinstance(failure, TryLater)]
    times = [failure.not_before for failure in later if failure.not_before is not None]
    return Ended(
        claimed=claimed,
        again=bool(later),
        not_before=max(times, default=None),
        gone=[
            device
            for device, failure in zip(ready.devices, tried, strict=True)
            if isinstance(failure, DeviceGone)
        ],
    )


async def _tried(works: ClearWorks, device: DeviceAddress, push: Push) -> ChannelFailure | None:
    """How it failed, if it did."""
    try:
        await works.channel.send(device, push)
    except ChannelFailure as failure:
        return failure
    return None
