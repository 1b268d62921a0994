"""Events that were set aside, for ops to look at, replay or discard (P20).

A letter holds the claim of its event, so that nothing brings the event again. A replay releases
it, once: from then on a claim is the handler's, and says that the effect is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.ids import uuid7
from services.chassis.outbox import Event

# Where the bus refused an event of our own.
RELAY = "relay"

_ADD = text("""
insert into dead_letters (id, clinic_id, consumer, source, event_id, kind, type, aggregate_id,
    position, incarnation, payload, trace, error_class, attempts, occurred_at)
values (:id, :clinic_id, :consumer, :source, :event_id, :kind, :type, :aggregate_id,
    :position, :incarnation, :payload, :trace, :error_class, :attempts, :occurred_at)
on conflict (consumer, event_id) do nothing
""")
_COLUMNS = """id, clinic_id, consumer, source, event_id, kind, type, aggregate_id, position,
    incarnation, payload, trace, error_class, attempts, occurred_at, created_at"""
_LIST = text(f"""
select {_COLUMNS} from dead_letters
where (:consumer = '' or consumer = :consumer)
  and (cast(:before as uuid) is null or id < :before)
order by id desc limit :most
""")
_GET = text(f"select {_COLUMNS} from dead_letters where id = :id")
_COUNT = text("select count(*) from dead_letters")
_RELEASE = text("""
with released as (
    update dead_letters set released = true where id = :id and not released
    returning clinic_id, consumer, event_id
)
delete from inbox using released
where inbox.clinic_id = released.clinic_id and inbox.consumer = released.consumer
  and inbox.event_id = released.event_id
""")
_TRIED = text("""
with claimed as (
    insert into inbox (clinic_id, consumer, event_id)
    select clinic_id, consumer, event_id from dead_letters where id = :id
    on conflict do nothing returning 1
)
update dead_letters set attempts = attempts + 1, error_class = :error_class,
    released = released and not exists (select from claimed)
where id = :id
""")
_SETTLE = text("delete from dead_letters where id = :id and (released or consumer = :relay)")
_DELETE = text("delete from dead_letters where id = :id")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """`consumer` gave up on `event`; it is `RELAY` where the bus refused our own."""

    id: UUID
    consumer: str
    event: Event
    error_class: str
    attempts: int
    created_at: datetime


async def add(
    connection: AsyncConnection, event: Event, *, consumer: str, error: Exception, attempts: int
) -> None:
    """Keep an event that is given up; once for each consumer."""
    row = {
        "id": uuid7(),
        "clinic_id": event.clinic_id,
        "consumer": consumer,
        "source": event.source,
        "event_id": event.event_id,
        "kind": event.kind,
        "type": event.type,
        "aggregate_id": event.aggregate_id,
        "position": event.position,
        "incarnation": event.incarnation,
        "payload": event.payload,
        "trace": event.trace,
        "error_class": type(error).__name__,
        "attempts": attempts,
        "occurred_at": event.occurred_at,
    }
    await connection.execute(_ADD, row)


async def page(
    connection: AsyncConnection, *, consumer: str, before: UUID | None, most: int
) -> Sequence[DeadLetter]:
    """The newest first; ids are UUIDv7."""
    rows = await connection.execute(_LIST, {"consumer": consumer, "before": before, "most": most})
    return [_to_letter(row) for row in rows]


async def get(connection: AsyncConnection, id: UUID) -> DeadLetter | None:
    row = (await connection.execute(_GET, {"id": id})).one_or_none()
    return None if row is None else _to_letter(row)


async def count(connection: AsyncConnection) -> int:
    number: int = (await connection.execute(_COUNT)).scalar_one()
    return number


async def release(connection: AsyncConnection, letter: DeadLetter) -> None:
    """Let the handler claim the event; its letter stays until it has.

    Only the letter's own claim is taken away: one that the handler made during an earlier replay,
    or one at the same time, stays, and the event has no second effect.
    """
    await connection.execute(_RELEASE, {"id": letter.id})


async def tried_again(connection: AsyncConnection, letter: DeadLetter, error: Exception) -> None:
    """One attempt more, in vain: the event is set aside again."""
    await connection.execute(_TRIED, {"id": letter.id, "error_class": type(error).__name__})


async def settle(connection: AsyncConnection, letter: DeadLetter) -> bool:
    """Remove a letter whose event was handled; false where another replay has set it aside again.

    Then the claim that the handler met was the letter's, and not of an effect.
    """
    await connection.execute(_SETTLE, {"id": letter.id, "relay": RELAY})
    return await get(connection, letter.id) is None


async def delete(connection: AsyncConnection, id: UUID) -> None:
    await connection.execute(_DELETE, {"id": id})


def _to_letter(row: Row[tuple[object, ...]]) -> DeadLetter:
    return DeadLetter(
        id=row.id,
        consumer=row.consumer,
        event=Event(
            event_id=row.event_id,
            clinic_id=row.clinic_id,
            source=row.source,
            kind=row.kind,
            type=row.type,
            aggregate_id=row.aggregate_id,
            position=row.position,
            incarnation=row.incarnation,
            occurred_at=row.occurred_at,
            trace=row.trace,
            payload=bytes(row.payload),
        ),
        error_class=row.error_class,
        attempts=row.attempts,
        created_at=row.created_at,
    )
