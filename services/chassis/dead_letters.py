"""Events that were set aside, for ops to look at, replay or discard (P20)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.outbox import Event

_COLUMNS = """id, clinic_id, consumer, source, event_id, kind, type, position, incarnation,
    payload, trace, error_class, attempts, occurred_at, created_at"""
_LIST = text(f"""
select {_COLUMNS} from dead_letters
where (:consumer = '' or consumer = :consumer)
  and (cast(:before as uuid) is null or id < :before)
order by id desc limit :most
""")
_GET = text(f"select {_COLUMNS} from dead_letters where id = :id")
_COUNT = text("select count(*) from dead_letters")
_TRIED = text("""
update dead_letters set attempts = attempts + 1, error_class = :error_class where id = :id
""")
_DELETE = text("delete from dead_letters where id = :id")
_UNCLAIM = text("""
delete from inbox
where clinic_id = :clinic_id and consumer = :consumer and event_id = :event_id
""")
_CLAIM = text("""
insert into inbox (clinic_id, consumer, event_id) values (:clinic_id, :consumer, :event_id)
on conflict do nothing
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """`consumer` gave up on `event`; it is `relay` where the bus refused our own."""

    id: UUID
    consumer: str
    event: Event
    error_class: str
    attempts: int
    created_at: datetime


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


async def unclaim(connection: AsyncConnection, letter: DeadLetter) -> None:
    """Let the handler claim the event again; its letter stays until it has."""
    await connection.execute(_UNCLAIM, _claim(letter))


async def tried_again(connection: AsyncConnection, letter: DeadLetter, error: Exception) -> None:
    """One attempt more, in vain: the event is set aside again."""
    await connection.execute(_CLAIM, _claim(letter))
    await connection.execute(_TRIED, {"id": letter.id, "error_class": type(error).__name__})


async def delete(connection: AsyncConnection, id: UUID) -> None:
    await connection.execute(_DELETE, {"id": id})


def _claim(letter: DeadLetter) -> dict[str, object]:
    return {
        "clinic_id": letter.event.clinic_id,
        "consumer": letter.consumer,
        "event_id": letter.event.event_id,
    }


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
            aggregate_id=row.clinic_id,
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
