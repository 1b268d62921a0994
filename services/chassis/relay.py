"""The relay: publishes an outbox in the order of its positions (design section 5)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby

from sqlalchemy import text

from services.chassis import dead_letters
from services.chassis.database import Database
from services.chassis.errors import Unavailable
from services.chassis.ids import uuid7
from services.chassis.logs import get_logger
from services.chassis.outbox import COLUMNS, UNTOLD_SECONDS, Event, Signal, rest_after, to_event

LEASE_SECONDS = 10
# What was positioned together is published together; nobody waits for an event this long. A pass
# that took long makes the next one larger: under load, publishing takes a part of the time only. A
# stall is followed by no rest of its length.
GATHER_SECONDS = 0.015
_MOST_REST = 0.1
IN_FLIGHT = 64
_MOST = 4 * IN_FLIGHT

log = get_logger()


class Refused(Exception):
    """The bus will never take this event: too large, or forbidden."""


_LEASE = text("""
update outbox_head
set published_position = greatest(published_position, :published),
    relay_owner = :owner, relay_until = clock_timestamp() + make_interval(secs => :seconds)
where relay_owner = :owner or relay_until < clock_timestamp()
returning published_position
""")
_READ = text(f"""
select {COLUMNS} from outbox
where position > (select published_position from outbox_head where relay_owner = :owner)
order by position limit :most
""")
_UNSYNCED = text("select set_config('synchronous_commit', 'off', true)")
_RELEASE = text("""
update outbox_head set published_position = greatest(published_position, :published),
    relay_until = '-infinity' where relay_owner = :owner
""")
Publish = Callable[[Event], Awaitable[None]]


class Relay:
    """Publishes from the published position on, in order within an aggregate.

    One relay holds a lease; two for a moment are harmless, for every copy of an event carries the
    same `Nats-Msg-Id`. `publish` raises Unavailable for "not now, or not known", Refused for never.
    """

    def __init__(self, database: Database, *, source: str, publish: Publish) -> None:
        self.positioned = Signal()
        self._database = database
        self._source = source
        self._publish = publish
        self._owner = uuid7()
        self._published = 0
        self._leads = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                began = loop.time()
                published = await self.relay()
                if published < _MOST:
                    took = loop.time() - began
                    await asyncio.sleep(rest_after(took, least=GATHER_SECONDS, most=_MOST_REST))
                if not self._leads:
                    await asyncio.sleep(UNTOLD_SECONDS)
                elif not published:
                    await self.positioned.wait(UNTOLD_SECONDS)
        finally:
            await asyncio.shield(self._release())

    async def relay(self) -> int:
        """One pass; how far it came. What it published, the next one records."""
        events = await self._leased()
        if not events:
            return 0
        before = self._published
        self._published = await self._publish_all(events)
        return self._published - before

    async def _leased(self) -> Sequence[Event]:
        """Renew the lease, record what was published, and read on; nothing without the lease.

        Not synced to disk: a crash that forgets it publishes again, under the same ids.
        """
        parameters = {
            "owner": self._owner,
            "seconds": LEASE_SECONDS,
            "published": self._published,
        }
        _, leased, rows = await self._database.exchange(
            (_UNSYNCED, {}), (_LEASE, parameters), (_READ, {"owner": self._owner, "most": _MOST})
        )
        self._leads = bool(leased)
        if not self._leads:
            return []
        self._published = leased[0].published_position
        return [to_event(row, self._source) for row in rows]

    async def _publish_all(self, events: Sequence[Event]) -> int:
        """The last position before which everything is published."""
        slots = asyncio.Semaphore(IN_FLIGHT)
        ordered = sorted(events, key=lambda event: (str(event.aggregate_id), event.position))
        chains = [list(chain) for _, chain in groupby(ordered, lambda event: event.aggregate_id)]
        failed = await asyncio.gather(*(self._publish_chain(chain, slots) for chain in chains))
        first_failed = min((position for position in failed if position is not None), default=None)
        return events[-1].position if first_failed is None else first_failed - 1

    async def _publish_chain(self, chain: Sequence[Event], slots: asyncio.Semaphore) -> int | None:
        """Publish one aggregate's events in order; the first position that failed, or None."""
        async with slots:
            for event in chain:
                try:
                    await self._publish(event)
                except Unavailable:
                    return event.position
                except Refused as error:
                    await self._park(event, error)
        return None

    async def _park(self, event: Event, error: Refused) -> None:
        """Keep what NATS refuses for good as a dead letter."""
        log.error("event_refused_by_bus", event_id=event.event_id, type=event.type)
        await self._database.connect(
            lambda connection: dead_letters.add(
                connection, event, consumer=dead_letters.RELAY, error=error, attempts=1
            )
        )

    async def _release(self) -> None:
        parameters = {"owner": self._owner, "published": self._published}
        await self._database.connect(lambda c: c.execute(_RELEASE, parameters))
