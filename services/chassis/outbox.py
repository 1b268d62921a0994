"""Events, written with the change that they tell of and numbered after it (design section 5).

`add` writes rows in the caller's transaction. The sequencer gives them positions, gapless for
ever; `relay.py` publishes them in the order of positions. Everything that reads events reads by
position. NATS holds a copy; the record is here.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.database import Database, note_events
from services.chassis.errors import OutOfRange
from services.chassis.ids import uuid7
from services.chassis.json_rows import JsonRow, insert, many, one, to_json
from services.chassis.line import AnyRow, Connection
from services.chassis.telemetry import current_traceparent

POLL_SECONDS = 0.25
# Readers are woken by the sequencer's poll; this is for a wake-up that was lost.
UNTOLD_SECONDS = 2.0
# A lone event is numbered at once, a crowd in passes: each wakes the readers of every copy. Under
# load, numbering takes a part of the time only; a stall is followed by no rest of its length.
GATHER_SECONDS = 0.015
_MOST_REST = 0.05
RETENTION = timedelta(days=7)
_PASS_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event as the change that made it knows it; `kind` is `state` or `fact`.

    `trace` is for work on many things at once: whose trace it belongs to, else the task's own.
    """

    clinic_id: UUID
    kind: str
    type: str
    aggregate_type: str
    aggregate_id: UUID
    aggregate_version: int
    payload: bytes
    staff_id: UUID | None = None
    profile_id: UUID | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as every reader gets it, from the bus or from the table."""

    event_id: UUID
    clinic_id: UUID
    source: str
    kind: str
    type: str
    aggregate_id: UUID
    position: int
    incarnation: str
    occurred_at: datetime
    trace: str
    payload: bytes

    @property
    def subject(self) -> str:
        return f"{self.source}.{self.kind}.{self.type}.{self.clinic_id}"


class Signal:
    """A coalesced wake-up: any number of `set` before a `wait` wake it once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """True once set, false after `seconds`: the signal is a courtesy, the poll the truth."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


def rest_after(took: float, *, least: float, most: float) -> float:
    """Seconds for a crowd to gather after a pass: twice as long as it took, within bounds."""
    return max(least, min(2 * took, most))


_COLUMNS = """event_id uuid, clinic_id uuid, kind text, type text, aggregate_type text,
    aggregate_id uuid, aggregate_version bigint, staff_id uuid, profile_id uuid, payload bytea,
    trace text"""


def insert_many(array: str) -> str:
    """SQL: insert the events of a JSON array of `row_of`; they are numbered in its order."""
    return insert("outbox", _COLUMNS, many("event", _COLUMNS, array))


# The same for one, given by `json_rows.values("event", row_of(...))`.
INSERT_ONE = insert("outbox", _COLUMNS, one("event", _COLUMNS))
_ADD = text(insert_many("cast(:events as jsonb)"))


async def add(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Write events in the caller's transaction, which holds the locks of their aggregates."""
    trace = current_traceparent()
    rows = [row_of(event, trace) for event in events]
    if rows:
        note_events(connection)
        await connection.execute(_ADD, {"events": to_json(rows)})


def row_of(event: NewEvent, trace: str) -> JsonRow:
    """The row of an event as it is written; `trace` is that of one that has none of its own."""
    return {
        "event_id": uuid7(),
        "clinic_id": event.clinic_id,
        "kind": event.kind,
        "type": event.type,
        "aggregate_type": event.aggregate_type,
        "aggregate_id": event.aggregate_id,
        "aggregate_version": event.aggregate_version,
        "staff_id": event.staff_id,
        "profile_id": event.profile_id,
        "payload": event.payload,
        "trace": event.trace or trace,
    }


_LOCK_HEAD = text("select last_position from outbox_head for update")

# A statement of its own, after the lock: it must see what others numbered while we waited.
_NUMBER = text("""
with head as (
    select last_position from outbox_head
), unpositioned as (
    select id, row_number() over (order by id) as step from (
        select id from outbox where position is null order by id limit :most) as oldest
), numbered as (
    update outbox set position = head.last_position + step
    from head, unpositioned where outbox.id = unpositioned.id returning 1
)
update outbox_head set last_position = outbox_head.last_position + moved.rows
from (select count(*) as rows from numbered) as moved
where moved.rows > 0 returning moved.rows
""")


_LOOK = text("""
select last_position, published_position,
       exists (select from outbox where position is null) as unpositioned
from outbox_head
""")


class Sequencer:
    """Gives positions. Any number may run; the lock on `outbox_head` makes them one.

    `positioned` is called after this one gave positions, `noticed` where there are positions to be
    read or published, whoever gave them: its poll is the one that all readers of a process share.
    """

    def __init__(
        self,
        database: Database,
        *,
        positioned: Callable[[], None],
        noticed: Callable[[], None] = lambda: None,
    ) -> None:
        self.committed = Signal()
        self._database = database
        self._positioned = positioned
        self._noticed = noticed
        self._seen = -1

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        await self.number()
        while True:
            if await self.committed.wait(POLL_SECONDS) or await self.look():
                began = loop.time()
                while await self.number():
                    pass
                took = loop.time() - began
                await asyncio.sleep(rest_after(took, least=GATHER_SECONDS, most=_MOST_REST))

    async def number(self) -> bool:
        """One pass; true where there may be more."""
        _, moved = await self._database.exchange((_LOCK_HEAD, {}), (_NUMBER, {"most": _PASS_ROWS}))
        if moved:
            self._positioned()
        return bool(moved) and moved[0].rows == _PASS_ROWS

    async def look(self) -> bool:
        """Without a lock: is there something to number? Tells of what others have numbered."""
        [[head]] = await self._database.exchange((_LOOK, {}))
        if head.last_position != self._seen or head.published_position < head.last_position:
            self._seen = head.last_position
            self._noticed()
        unpositioned: bool = head.unpositioned
        return unpositioned


COLUMNS = """event_id, clinic_id, kind, type, aggregate_id, position,
       (select incarnation from outbox_head) as incarnation, created_at, trace, payload"""
_READ = text(f"""
select {COLUMNS} from outbox where position > :after order by position limit :most
""")
_BOUNDS = text("""
select incarnation, last_position, published_position,
       (select min(position) from outbox) as oldest_position
from outbox_head
""")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the table holds: `oldest` is the first position still there, if there is any."""

    incarnation: str
    last: int
    published: int
    oldest: int | None


async def read_bounds(connection: AsyncConnection) -> Bounds:
    row = (await connection.execute(_BOUNDS)).one()
    return Bounds(
        str(row.incarnation), row.last_position, row.published_position, row.oldest_position
    )


async def read(
    connection: AsyncConnection, source: str, *, after: int, most: int
) -> Sequence[Event]:
    """Events after a position, in order. The connection is a worker's: it crosses clinics."""
    rows = await connection.execute(_READ, {"after": after, "most": most})
    return [to_event(row, source) for row in rows]


async def check_position(connection: AsyncConnection, incarnation: str, position: int) -> Bounds:
    """The bounds, where everything after this position is still here; OutOfRange otherwise."""
    bounds = await read_bounds(connection)
    first_kept = bounds.last + 1 if bounds.oldest is None else bounds.oldest
    if incarnation != bounds.incarnation or not first_kept - 1 <= position <= bounds.last:
        raise OutOfRange(
            "This position is gone; start again from the current states or the oldest event",
            incarnation=bounds.incarnation,
            oldest_position=str(first_kept),
            last_position=str(bounds.last),
        )
    return bounds


def to_event(row: AnyRow, source: str) -> Event:
    """The event of a row of COLUMNS."""
    return Event(
        event_id=row.event_id,
        clinic_id=row.clinic_id,
        source=source,
        kind=row.kind,
        type=row.type,
        aggregate_id=row.aggregate_id,
        position=row.position,
        incarnation=str(row.incarnation),
        occurred_at=row.created_at,
        trace=row.trace,
        payload=row.payload,
    )
