"""Attempts at exports: who builds which, how far they are, how they end.

Due attempts are found across clinics, as `worker`; all else is done in the export's clinic. Every
statement of an attempt names its lease, so that one that was taken for dead changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import audit
from services.chassis.database import Database
from services.chassis.errors import DomainError
from services.chassis.identity import Caller, Role
from services.chassis.ids import uuid7
from services.chassis.logs import class_of, get_logger
from services.export.domain.export import KEPT_FOR, State
from services.export.domain.job import Checkpoint, Job, LeaseLost, pause_after
from services.export.domain.stream import Told
from services.export.storage.checkpoints import (
    checkpoint_json,
    to_checkpoint,
    to_told,
    told_json,
)
from services.export.storage.exports import COLUMNS, to_export

LEASE = timedelta(seconds=60)

_CLAIM = text(f"""
update exports set state = 'RUNNING', lease_id = :lease_id, attempts = attempts + 1,
    due_at = clock_timestamp() + :lease
from (
    select clinic_id as due_clinic_id, id as due_id, lease_id as earlier_lease_id from exports
    where state in ('APPROVED', 'RUNNING') and due_at <= clock_timestamp()
    order by due_at limit 1 for update skip locked
) as due
where clinic_id = due_clinic_id and id = due_id
returning {COLUMNS}, lease_id, earlier_lease_id, attempts, staff_name,
    cast(checkpoint as text) as checkpoint
""")
_MINE = " where clinic_id = :clinic_id and id = :id and lease_id = :lease_id and state = 'RUNNING'"
_RENEW = text("update exports set due_at = clock_timestamp() + :lease" + _MINE)
_FREEZE = text("update exports set staff_name = :staff_name" + _MINE)
# Progress forgives the attempts that came before it.
_PROGRESS = text(
    "update exports set due_at = clock_timestamp() + :lease,"
    " checkpoint = cast(:checkpoint as jsonb), conversations = :conversations,"
    " messages = :messages, attempts = case when (conversations, messages)"
    " = (:conversations, :messages) then attempts else 0 end" + _MINE
)
# The name that was held first stays, also where an attempt began again from the start.
_HOLD_TOLD = text("""
insert into export_conversations (clinic_id, export_id, conversation_id, profile_id, profile_name,
                                  created_at, archivals, messages, tombstones)
select :clinic_id, :id, new.conversation_id, new.profile_id, new.profile_name, new.created_at,
       new.archivals, new.messages, new.tombstones
from jsonb_populate_recordset(null::export_conversations, cast(:rows as jsonb)) as new
on conflict do nothing
""")
_TOLD = text("""
select conversation_id, profile_id, profile_name, created_at, cast(archivals as text) as archivals,
       messages, tombstones
from export_conversations
where clinic_id = :clinic_id and export_id = :id
  and (cast(:after as uuid) is null or conversation_id > :after)
order by conversation_id limit :most
""")
_FINISH = text(
    "update exports set state = 'READY', expires_at = clock_timestamp() + :kept_for,"
    " lease_id = null, checkpoint = null" + _MINE
)
_PUT_BACK = text("update exports set due_at = clock_timestamp() + :pause" + _MINE)
_FAIL = text(
    "update exports set state = 'FAILED', lease_id = null, checkpoint = null, staff_name = null"
    + _MINE
)
_EXPIRE = text("""
update exports set state = 'EXPIRED', staff_name = null
where state = 'READY' and expires_at <= clock_timestamp()
returning clinic_id, id
""")
_FORGET_TOLD = text("""
delete from export_conversations as told using exports as export
where export.clinic_id = told.clinic_id and export.id = told.export_id
  and export.state in ('FAILED', 'CANCELLED', 'EXPIRED')
""")
_STATES = text("select id, state from exports where id = any(:ids)")

log = get_logger()


class Jobs:
    def __init__(self, app: Database, worker: Database) -> None:
        self._app = app
        self._worker = worker

    async def claim(self) -> Job | None:
        """The export that has been due for longest, for one minute; None where none is due."""
        parameters = {"lease_id": uuid7(), "lease": LEASE}

        async def work(connection: AsyncConnection) -> Job | None:
            row = (await connection.execute(_CLAIM, parameters)).one_or_none()
            if row is None:
                return None
            return Job(
                export=to_export(row),
                lease_id=row.lease_id,
                earlier_lease_id=row.earlier_lease_id,
                checkpoint=to_checkpoint(row.checkpoint),
                staff_name=row.staff_name,
                attempts=row.attempts,
            )

        return await self._worker.connect(work)

    async def renew(self, job: Job) -> None:
        """Another minute. This and all that follow raise LeaseLost where the job is not its own."""
        await self._change(job, _RENEW, {"lease": LEASE})

    async def freeze_staff_name(self, job: Job, name: str) -> None:
        await self._change(job, _FREEZE, {"staff_name": name})

    async def save(
        self,
        job: Job,
        checkpoint: Checkpoint,
        told: Sequence[Told],
        profile_names: Mapping[UUID, str],
    ) -> None:
        """Another attempt goes on from here. The names are kept as they are now."""
        progress = {
            "lease": LEASE,
            "checkpoint": checkpoint_json(checkpoint),
            "conversations": checkpoint.conversations,
            "messages": checkpoint.mark.lines,
        }
        rows = told_json(told, profile_names)

        async def work(connection: AsyncConnection, _: datetime) -> None:
            await _execute(connection, job, _PROGRESS, progress)
            await connection.execute(_HOLD_TOLD, _key(job) | {"rows": rows})

        await self._app.transact(work, clinics=[job.export.clinic_id])

    async def told(self, job: Job, *, after: UUID | None, most: int) -> Sequence[tuple[Told, str]]:
        """Conversations in the order of their ids, with the name of the other side."""

        async def work(connection: AsyncConnection, _: datetime) -> Sequence[tuple[Told, str]]:
            parameters = _key(job) | {"after": after, "most": most}
            rows = await connection.execute(_TOLD, parameters)
            return [(to_told(row), row.profile_name) for row in rows]

        return await self._app.transact(work, clinics=[job.export.clinic_id])

    async def finish(self, job: Job) -> None:
        await self._change(job, _FINISH, {"kept_for": KEPT_FOR}, action="build_export")
        log.info("export_ready", export_id=job.export.id)

    async def release(self, job: Job) -> None:
        """Due at once, for another process."""
        await self._change(job, _PUT_BACK, {"pause": timedelta(0)})

    async def put_back(self, job: Job, error: Exception) -> None:
        """To be tried again after a pause, or given up after too many attempts in vain."""
        pause = pause_after(job.attempts)
        log.warning(
            "export_attempt_failed",
            export_id=job.export.id,
            attempts=job.attempts,
            exc_info=error,
        )
        if pause is None:
            await self.fail(job, error)
        else:
            await self._change(job, _PUT_BACK, {"pause": pause})

    async def fail(self, job: Job, error: Exception) -> None:
        """For good; the audit record holds the kind of the error."""
        reason = error.reason if isinstance(error, DomainError) else class_of(error)
        await self._change(job, _FAIL, {}, action="give_up_export", reason=reason)
        log.error("export_failed", export_id=job.export.id, reason=reason)

    async def expire(self) -> None:
        """End what is past its time, and forget the names in what has ended."""

        async def work(connection: AsyncConnection) -> None:
            for row in (await connection.execute(_EXPIRE)).all():
                record = audit.Record(
                    action="expire_export", object_type="export", object_id=row.id
                )
                await audit.add(connection, _self(row.clinic_id), row.clinic_id, record)
            await connection.execute(_FORGET_TOLD)

        await self._worker.connect(work)

    async def states(self, ids: Collection[UUID]) -> Mapping[UUID, State]:
        """The states of exports of any clinic; one that is not known is absent."""

        async def work(connection: AsyncConnection) -> Mapping[UUID, State]:
            rows = await connection.execute(_STATES, {"ids": list(ids)})
            return {row.id: State(row.state) for row in rows}

        return await self._worker.connect(work)

    async def _change(
        self,
        job: Job,
        statement: TextClause,
        values: Mapping[str, object],
        *,
        action: str = "",
        reason: str = "",
    ) -> None:
        clinic_id = job.export.clinic_id

        async def work(connection: AsyncConnection, _: datetime) -> None:
            await _execute(connection, job, statement, values)
            if action:
                record = audit.Record(
                    action=action, object_type="export", object_id=job.export.id, reason=reason
                )
                await audit.add(connection, _self(clinic_id), clinic_id, record)

        await self._app.transact(work, clinics=[clinic_id])


async def _execute(
    connection: AsyncConnection, job: Job, statement: TextClause, values: Mapping[str, object]
) -> None:
    changed = await connection.execute(statement, _key(job) | dict(values))
    if changed.rowcount == 0:
        raise LeaseLost


def _key(job: Job) -> dict[str, object]:
    return {
        "clinic_id": job.export.clinic_id,
        "id": job.export.id,
        "lease_id": job.lease_id,
    }


def _self(clinic_id: UUID) -> Caller:
    """This service, as the one who acts."""
    return Caller(Role.SERVICE, "export", clinic_id, datetime.max.replace(tzinfo=UTC))
