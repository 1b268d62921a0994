"""What follows from a person's state for all their threads: reasons, history, facts.

A worker does it, in transactions of 200 threads, locked in the order of ids; the people's states
are read again behind the locks. A replica row remembers the version whose pass is done; a row that
moved meanwhile, or a pass that broke off, is taken up again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import outbox
from services.chassis.database import Database, note_events, scope
from services.chassis.json_rows import JsonRows, to_json
from services.chassis.line import Row, Talk
from services.chassis.telemetry import current_traceparent
from services.conversations.domain.people import Cause, Reason, reasons_in_force
from services.conversations.storage.conversations import COLUMNS, to_conversation
from services.conversations.storage.events import archival_changed
from services.conversations.storage.people import PEOPLE_COLUMNS, PEOPLE_JOINS, to_people
from services.messaging_rule import Side

_THREADS = 200
_PEOPLE = 500
_REPLICA = {Side.STAFF: "replica_staff", Side.PROFILE: "replica_profiles"}

_UNDERIVED = {
    side: text(f"""
        select clinic_id, {side}_id as id, version from {table}
        where derived_version <> version order by clinic_id, {side}_id limit {_PEOPLE}
    """)
    for side, table in _REPLICA.items()
}
_DONE = {
    side: text(f"""
        update {table} set derived_version = :version
        where clinic_id = :clinic_id and {side}_id = :id
    """)
    for side, table in _REPLICA.items()
}
_LOCK = {
    side: text(f"""
        with own as materialized (
            select id from conversations where clinic_id = :clinic_id and {side}_id = :person_id
        )
        select c.id from own join conversations as c on c.clinic_id = :clinic_id and c.id = own.id
        where own.id > :after order by own.id limit {_THREADS} for update of c
    """)
    for side in Side
}
_LOAD = text(f"""
select {COLUMNS}, c.reasons, {PEOPLE_COLUMNS}, clock_timestamp() as now
from conversations as c {PEOPLE_JOINS}
where c.clinic_id = :clinic_id and c.id = any(:ids)
""")
_STORE = text(f"""
with begun as (
    insert into archivals (clinic_id, conversation_id, cause, cause_id, archived_at)
    select * from jsonb_to_recordset(cast(:changes as jsonb) -> 'begun') as begun (
        clinic_id uuid, conversation_id uuid, cause text, cause_id uuid, at timestamptz)
    on conflict do nothing
), ended as (
    -- Each is there already; as an insert, each is looked up by its key, whatever the plan.
    insert into archivals as held
        (clinic_id, conversation_id, cause, cause_id, archived_at, unarchived_at)
    select clinic_id, conversation_id, cause, cause_id, at, at
    from jsonb_to_recordset(cast(:changes as jsonb) -> 'ended') as ended (
        clinic_id uuid, conversation_id uuid, cause text, cause_id uuid, at timestamptz)
    on conflict (clinic_id, conversation_id, cause, cause_id)
        do update set unarchived_at = excluded.unarchived_at where held.unarchived_at is null
), told as ({outbox.insert_many("cast(:changes as jsonb) -> 'events'")})
update conversations as c set reasons = new.reasons
from jsonb_to_recordset(cast(:changes as jsonb) -> 'threads') as new (
    clinic_id uuid, id uuid, reasons text[])
where c.clinic_id = new.clinic_id and c.id = new.id
""")


class Incomplete(Exception):
    """The replica, which is being filled, lacks somebody of a thread: to be looked at again."""


@dataclass(frozen=True, slots=True)
class Underived:
    """A person whose state's consequences are not drawn yet; `version` is of before the pass."""

    side: Side
    clinic_id: UUID
    id: UUID
    version: int


class Archival:
    def __init__(self, app: Database, worker: Database) -> None:
        self._app = app
        self._worker = worker

    async def underived(self) -> Sequence[Underived]:
        """Whose threads to look at now."""

        async def work(connection: AsyncConnection) -> Sequence[Underived]:
            found = []
            for side in Side:
                rows = await connection.execute(_UNDERIVED[side])
                found += [Underived(side, row.clinic_id, row.id, row.version) for row in rows]
            return found

        return await self._worker.connect(work)

    async def derive(self, person: Underived, *, after: UUID | None) -> UUID | None:
        """Look at the next 200 threads of a person; the last one's id, or None at the end.

        Raises Incomplete.
        """

        async def work(talk: Talk) -> UUID | Incomplete | None:
            _, locked = await talk.ask(
                scope([person.clinic_id]),
                (
                    _LOCK[person.side],
                    {
                        "clinic_id": person.clinic_id,
                        "person_id": person.id,
                        "after": after or UUID(int=0),
                    },
                ),
            )
            ids = [row.id for row in locked]
            [rows] = await talk.ask((_LOAD, {"clinic_id": person.clinic_id, "ids": ids}))
            changes = _Changes()
            try:
                for row in rows:
                    changes.draw(row)
            except Incomplete as incomplete:
                return incomplete
            if changes.threads:
                note_events(talk)
                await talk.ask((_STORE, {"changes": changes.to_json()}), commit=True)
            return ids[-1] if len(ids) == _THREADS else None

        last = await self._app.talk(work, waits=True)
        if isinstance(last, Incomplete):
            raise last
        return last

    async def done(self, person: Underived) -> None:
        """The pass that began at this version has seen every thread."""
        parameters = {
            "clinic_id": person.clinic_id,
            "id": person.id,
            "version": person.version,
        }
        await self._worker.connect(lambda c: c.execute(_DONE[person.side], parameters))


@dataclass(frozen=True, slots=True)
class _Changes:
    """The rows that make column, history and facts of locked threads say what the states say."""

    threads: JsonRows = field(default_factory=list)
    begun: JsonRows = field(default_factory=list)
    ended: JsonRows = field(default_factory=list)
    events: JsonRows = field(default_factory=list)

    def to_json(self) -> str:
        return to_json(
            {
                "threads": self.threads,
                "begun": self.begun,
                "ended": self.ended,
                "events": self.events,
            }
        )

    def draw(self, row: Row) -> None:
        """Draw what follows for one thread; raises Incomplete."""
        people = to_people(row)
        if people is None:
            raise Incomplete
        before, in_force = set(map(_to_reason, row.reasons)), reasons_in_force(people)
        if before == in_force:
            return
        reasons = sorted(map(_from_reason, in_force))
        self.threads.append({"clinic_id": row.clinic_id, "id": row.id, "reasons": reasons})
        for reason in in_force - before:
            self.begun.append(self._change(row, reason, begun=True))
        for reason in before - in_force:
            self.ended.append(self._change(row, reason, begun=False))

    def _change(self, row: Row, reason: Reason, *, begun: bool) -> dict[str, object]:
        event = archival_changed(to_conversation(row), reason, begun=begun, at=row.now)
        self.events.append(outbox.row_of(event, current_traceparent()))
        return {
            "clinic_id": row.clinic_id,
            "conversation_id": row.id,
            "cause": reason.cause,
            "cause_id": reason.id,
            "at": row.now,
        }


def _from_reason(reason: Reason) -> str:
    return f"{reason.cause}:{reason.id}"


def _to_reason(text: str) -> Reason:
    cause, id = text.split(":")
    return Reason(Cause(cause), UUID(id))
