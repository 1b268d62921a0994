"""The slow road to a consumer's handler: the publisher's outbox, read from the last position.

It brings whatever the bus has lost. What this process has had from the bus without a gap is not
read again, and what was handled elsewhere is passed over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from itertools import takewhile

from sqlalchemy import text

from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.errors import OutOfRange, Unavailable
from services.chassis.inbox import Intake, is_final
from services.chassis.logs import get_logger
from services.chassis.outbox import Event

SWEEP_SECONDS = 30.0
PAUSE_SECONDS = 1.0
_SETTLED = timedelta(seconds=15)
_PAGE = 500

log = get_logger()

_CURSOR = text("select incarnation, position from sweeps where source = :source")
_MOVE = text("""
insert into sweeps (source, incarnation, position) values (:source, :incarnation, :position)
on conflict (source) do update set incarnation = :incarnation, position = :position
""")
_TRY = text("""
insert into sweep_tries (source, event_id, tries) values (:source, :event_id, 1)
on conflict (source, event_id) do update set tries = sweep_tries.tries + 1 returning tries
""")
_FORGET = text("delete from sweep_tries where source = :source")

# (incarnation, after position) -> events after it; OutOfRange where the position is gone.
ListEvents = Callable[[str, int, int], Awaitable[Sequence[Event]]]
StartAgain = Callable[[OutOfRange], Awaitable[tuple[str, int]]]


class Sweep:
    """Reads the publisher's outbox from the last position, at start and every 30 s.

    `start_again` says where to go on when the position is gone: a consumer of states fills itself
    anew from the current ones, a consumer of facts starts at the oldest row and reports the gap.
    """

    def __init__(
        self,
        intake: Intake,
        worker: Database,
        *,
        source: str,
        list_events: ListEvents,
        start_again: StartAgain,
        clock: Clock,
    ) -> None:
        self._intake = intake
        self._worker = worker
        self._source = source
        self._list_events = list_events
        self._start_again = start_again
        self._clock = clock

    async def run(self) -> None:
        """Sweep for ever; the publisher being out of reach only delays it."""
        while True:
            try:
                while await self.sweep():
                    pass
                await asyncio.sleep(SWEEP_SECONDS)
            except Unavailable:
                await asyncio.sleep(PAUSE_SECONDS)

    async def sweep(self) -> bool:
        """One page; true where there is more."""
        incarnation, position = await self._position()
        reached = self._intake.taken.through(incarnation, position)
        if reached > position:
            await self._move(incarnation, reached)
            position = reached
        try:
            events = await self._list_events(incarnation, position, _PAGE)
        except OutOfRange as gone:
            await self._move(*await self._start_again(gone))
            return True
        before = self._clock() - _SETTLED
        settled = list(takewhile(lambda event: event.occurred_at <= before, events))
        if not settled:
            return False
        stuck = await self._take(settled)
        if stuck is None:
            await self._worker.connect(lambda c: c.execute(_FORGET, {"source": self._source}))
        reached = settled[-1].position if stuck is None else stuck - 1
        if reached > position:
            await self._move(settled[-1].incarnation, reached)
        return stuck is None and len(events) == _PAGE

    async def _take(self, events: Sequence[Event]) -> int | None:
        """Handle what is not handled yet; the first position that must be tried again."""
        unclaimed = await self._intake.unclaimed(events)
        failures = await self._intake.take(unclaimed)
        stuck = [
            event.position
            for event in unclaimed
            if event.event_id in failures
            and not await self._gave_up(event, failures[event.event_id])
        ]
        return min(stuck, default=None)

    async def _gave_up(self, event: Event, error: Exception) -> bool:
        key = {"source": self._source, "event_id": event.event_id}
        tries = await self._worker.connect(lambda c: c.execute(_TRY, key))
        attempts = tries.scalar_one()
        if not is_final(error, attempts):
            return False
        await self._intake.set_aside(event, error, attempts)
        return True

    async def _position(self) -> tuple[str, int]:
        found = await self._worker.connect(lambda c: c.execute(_CURSOR, {"source": self._source}))
        row = found.one_or_none()
        return ("", 0) if row is None else (row.incarnation, row.position)

    async def _move(self, incarnation: str, position: int) -> None:
        parameters = {"source": self._source, "incarnation": incarnation, "position": position}
        await self._worker.connect(lambda c: c.execute(_MOVE, parameters))


async def start_at_oldest(gone: OutOfRange) -> tuple[str, int]:
    """Where a consumer of facts goes on: at the oldest event held; the gap is told."""
    log.error("events_missed", incarnation=gone.metadata["incarnation"])
    return gone.metadata["incarnation"], int(gone.metadata["oldest_position"]) - 1
