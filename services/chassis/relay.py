"""The relay: publishes an outbox in the order of its positions (design section 5)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

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
GATHER_SECONDS = 0.03
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
Failure = Unavailable | Refused
# What stood in the way of each event; None where it was stored.
PublishAll = Callable[[Sequence[Event]], Awaitable[Sequence[Failure | None]]]


class Relay:
    """Publishes from the published position on, in order within an aggregate.

    One relay holds a lease; two for a moment are harmless, for every copy of an event carries the
    same `Nats-Msg-Id`. `publish` says Unavailable for "not now, or not known", Refused for never.
    """

    def __init__(self, database: Database, *, source: str, publish: PublishAll) -> None:
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
        failed: dict[UUID, int] = {}
        left = list(events)
        while left:
            wave, left = _wave(left)
            for event, failure in zip(wave, await self._publish(wave), strict=True):
                if isinstance(failure, Refused):
                    await self._park(event, failure)
                elif failure is not None:
                    failed[event.aggregate_id] = event.position
            left = [event for event in left if event.aggregate_id not in failed]
        return min(failed.values(), default=events[-1].position + 1) - 1

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


def _wave(events: Sequence[Event]) -> tuple[Sequence[Event], list[Event]]:
    """Those that may be under way together, one of an aggregate at most; and the others."""
    wave: dict[UUID, Event] = {}
    later: list[Event] = []
    for event in events:
        if event.aggregate_id in wave or len(wave) == IN_FLIGHT:
            later.append(event)
        else:
            wave[event.aggregate_id] = event
    return list(wave.values()), later
