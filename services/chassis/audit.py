"""Who did what, in the transaction that did it; insert-only for the service (R34)."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.chassis.database import Database
from services.chassis.identity import Caller
from services.chassis.line import Connection

_WORD = re.compile(r"(?<!^)(?=[A-Z])")
_ADD = text("""
insert into audit (clinic_id, actor, action, object_type, object_id, outcome, reason)
values (:clinic_id, :actor, :action, :object_type, :object_id, :outcome, :reason)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """`action` is the verb_object of the use case; `outcome` is `done` or `denied`."""

    action: str
    object_type: str
    object_id: UUID | str
    outcome: str = "done"
    reason: str = ""


async def add(connection: Connection, caller: Caller, clinic_id: UUID, record: Record) -> None:
    """Write one row. The connection's scope must hold the clinic."""
    await connection.execute(
        _ADD,
        {
            "clinic_id": clinic_id,
            "actor": caller.actor,
            "action": record.action,
            "object_type": record.object_type,
            "object_id": str(record.object_id),
            "outcome": record.outcome,
            "reason": record.reason,
        },
    )


async def note_denial(database: Database, caller: Caller, method: str, reason: str) -> None:
    """Keep a record of a refusal; the transaction that was refused is rolled back by then."""
    if caller.clinic_id is None:
        return
    record = Record(
        action=_WORD.sub("_", method.rpartition(".")[2]).lower(),
        object_type="method",
        object_id=method,
        outcome="denied",
        reason=reason,
    )

    async def work(connection: Connection, _: datetime) -> None:
        await add(connection, caller, caller.clinic, record)

    await database.transact(work, clinics=[caller.clinic], deadline=1.0)
