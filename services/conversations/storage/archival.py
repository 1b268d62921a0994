"""What follows from a person's state for all their threads: reasons, history, facts.

A worker does it, in transactions of 200 threads, locked in the order of ids; the people's states
are read again behind the locks. A replica row remembers the version whose pass is done; a row that
moved meanwhile, or a pass that broke off, is taken up again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import outbox
from services.chassis.database import Database
from services.conversations.domain.conversation import Conversation
from services.conversations.domain.people import Cause, People, Reason, reasons_in_force
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
        select id from conversations
        where clinic_id = :clinic_id and {side}_id = :person_id and id > :after
        order by id limit {_THREADS} for update
    """)
    for side in Side
}
_LOAD = text(f"""
select {COLUMNS}, c.reasons, {PEOPLE_COLUMNS} from conversations as c {PEOPLE_JOINS}
where c.clinic_id = :clinic_id and c.id = any(:ids)
""")
_SET_REASONS = text("""
update conversations set reasons = :reasons where clinic_id = :clinic_id and id = :id
""")
_BEGIN = text("""
insert into archivals (clinic_id, conversation_id, cause, cause_id, archived_at)
values (:clinic_id, :id, :cause, :cause_id, :now) on conflict do nothing
""")
_END = text("""
update archivals set unarchived_at = :now
where clinic_id = :clinic_id and conversation_id = :id and cause = :cause
  and cause_id = :cause_id and unarchived_at is null
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

        async def work(connection: AsyncConnection, now: datetime) -> UUID | None:
            locked = await connection.execute(
                _LOCK[person.side],
                {
                    "clinic_id": person.clinic_id,
                    "person_id": person.id,
                    "after": after or UUID(int=0),
                },
            )
            ids = list(locked.scalars())
            rows = await connection.execute(_LOAD, {"clinic_id": person.clinic_id, "ids": ids})
            for row in rows.all():
                people = to_people(row)
                if people is None:
                    raise Incomplete
                await _apply(connection, to_conversation(row), row.reasons, people, now)
            return ids[-1] if len(ids) == _THREADS else None

        return await self._app.transact(work, clinics=[person.clinic_id])

    async def done(self, person: Underived) -> None:
        """The pass that began at this version has seen every thread."""
        parameters = {
            "clinic_id": person.clinic_id,
            "id": person.id,
            "version": person.version,
        }
        await self._worker.connect(lambda c: c.execute(_DONE[person.side], parameters))


async def _apply(
    connection: AsyncConnection,
    conversation: Conversation,
    held: Sequence[str],
    people: People,
    now: datetime,
) -> None:
    """Make column, history and facts of one locked thread say what the states say."""
    before = {_to_reason(text) for text in held}
    in_force = reasons_in_force(people)
    if before == in_force:
        return
    key = {"clinic_id": conversation.clinic_id, "id": conversation.id}
    reasons = sorted(map(_from_reason, in_force))
    await connection.execute(_SET_REASONS, key | {"reasons": reasons})
    for begun, statement, changed in (
        (True, _BEGIN, in_force - before),
        (False, _END, before - in_force),
    ):
        for reason in changed:
            cause = {"cause": reason.cause, "cause_id": reason.id, "now": now}
            await connection.execute(statement, key | cause)
            event = archival_changed(conversation, reason, begun=begun, at=now)
            await outbox.add(connection, [event])


def _from_reason(reason: Reason) -> str:
    return f"{reason.cause}:{reason.id}"


def _to_reason(text: str) -> Reason:
    cause, id = text.split(":")
    return Reason(Cause(cause), UUID(id))
