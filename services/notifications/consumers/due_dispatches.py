"""Time: mails and pushes that are due are dispatched, some at once, by every copy of the service
alike. Each channel has its own, so that a provider that is silent holds up no other's."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from services.chassis.logs import bind, get_logger
from services.chassis.outbox import Signal
from services.notifications.domain.delivery import Channel
from services.notifications.storage.due import Due, DueDispatch
from services.notifications.usecases.claim_dispatch import ClaimDispatch

# More than a provider is handed at once: while some are handed over, others are claimed and looked
# at, and those that are at the same step share its transaction.
AT_ONCE = 96
# What begins together stays together, a transaction a step for all of it: fewer are begun only
# where nothing has ended for a while.
_FEWEST_PART = 2
_POLL_SECONDS = 0.25
_PAUSE_SECONDS = 1.0
_FINISH_SECONDS = 4.0

Dispatch = Callable[[ClaimDispatch], Awaitable[None]]

log = get_logger()


class DueDispatches:
    """`wake` is set when something may have become due; the poll is the truth."""

    def __init__(
        self,
        due: Due,
        channel: Channel,
        dispatch: Dispatch,
        *,
        wake: Signal,
        at_once: int = AT_ONCE,
    ) -> None:
        self._due = due
        self._channel = channel
        self._dispatch = dispatch
        self._wake = wake
        self._at_once = at_once
        self._fewest = max(at_once // _FEWEST_PART, 1)
        self._under_way: dict[UUID, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Dispatch for ever. When stopped, what is under way may still end."""
        try:
            woken = True
            while True:
                await self._start_due(fewest=self._fewest if woken else 1)
                woken = await self._wake.wait(_POLL_SECONDS)
        finally:
            if self._under_way:
                await asyncio.wait(self._under_way.values(), timeout=_FINISH_SECONDS)

    async def _start_due(self, *, fewest: int) -> None:
        room = self._at_once - len(self._under_way)
        if room < fewest:
            return
        under_way = self._under_way.keys()
        for found in await self._due.dispatches(self._channel, besides=under_way, most=room):
            task = asyncio.create_task(self._one(found))
            self._under_way[found.dispatch_id] = task

    async def _one(self, found: DueDispatch) -> None:
        bind(dispatch_id=found.dispatch_id)
        command = ClaimDispatch(
            clinic_id=found.clinic_id, recipient=found.recipient, dispatch_id=found.dispatch_id
        )
        try:
            await self._dispatch(command)
        except Exception as error:
            log.error("dispatch_failed", exc_info=error)
            # What cannot even be claimed stays due: not again at once, for ever.
            await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            del self._under_way[found.dispatch_id]
            self._wake.set()
