"""How far a service's events and consumers have come: for ops who ask, and as metrics."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import dead_letters, outbox
from services.chassis.database import Database
from services.chassis.telemetry import gauge

_EVERY_SECONDS = 10.0
_WAITING = text("select count(*) from outbox where position is null")
_SWEEPS = text("select source, position, incarnation from sweeps order by source")

EVENTS = gauge("events_position", "The position of the service's last event.")
UNPUBLISHED = gauge("events_unpublished", "Events that the bus does not have yet.")
HANDLED = gauge("consumer_position", "Up to where a source's events are handled.", ("source",))
DEAD_LETTERS = gauge("dead_letters", "Events that a consumer or the relay gave up on.")


@dataclass(frozen=True, slots=True)
class Handled:
    """Up to where the events of one source, in one life of its database, were handled."""

    source: str
    position: int
    incarnation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    incarnation: str
    last_position: int
    published_position: int
    unpublished: int
    handled: Sequence[Handled]
    dead_letters: int


async def read_progress(connection: AsyncConnection) -> Progress:
    bounds = await outbox.read_bounds(connection)
    waiting: int = (await connection.execute(_WAITING)).scalar_one()
    sweeps = await connection.execute(_SWEEPS)
    return Progress(
        incarnation=bounds.incarnation,
        last_position=bounds.last,
        published_position=bounds.published,
        unpublished=bounds.last - bounds.published + waiting,
        handled=[Handled(row.source, row.position, row.incarnation) for row in sweeps],
        dead_letters=await dead_letters.count(connection),
    )


async def measure(worker: Database) -> None:
    """Keep the metrics true, for ever."""
    while True:
        show(await worker.connect(read_progress))
        await asyncio.sleep(_EVERY_SECONDS)


def show(progress: Progress) -> None:
    EVENTS.set(progress.last_position)
    UNPUBLISHED.set(progress.unpublished)
    DEAD_LETTERS.set(progress.dead_letters)
    for each in progress.handled:
        HANDLED.labels(each.source).set(each.position)
