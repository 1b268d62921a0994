"""Time: what devices show too much is taken back, by every copy of the service alike."""

import asyncio
from collections.abc import Awaitable, Callable

from services.chassis.logs import get_logger
from services.notifications.domain.clear import Clear
from services.notifications.storage.clears import WaitingClears

AT_ONCE = 32
_POLL_SECONDS = 1.0

log = get_logger()


class DueClears:
    def __init__(self, waiting: WaitingClears, clear: Callable[[Clear], Awaitable[None]]) -> None:
        self._waiting = waiting
        self._clear = clear
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """For ever. One that is cut off is taken up again when its lease is over."""
        try:
            while True:
                await self._start_due()
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            for task in self._under_way:
                task.cancel()

    async def _start_due(self) -> None:
        room = AT_ONCE - len(self._under_way)
        if not room:
            return
        for found in await self._waiting.due(most=room):
            task = asyncio.create_task(self._one(found))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _one(self, found: Clear) -> None:
        try:
            await self._clear(found)
        except Exception as error:
            log.error("clear_failed", exc_info=error)
