"""Exports: one row each; every query in the caller's clinic."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.export.domain.export import Export, Scope, State

COLUMNS = """clinic_id, id, staff_id, scope, state, owner_id, requester, created_at, cutoff_at,
    expires_at, conversations, messages"""

_GET = f"select {COLUMNS} from exports where clinic_id = :clinic_id and id = :id"
_GET_PLAIN = text(_GET)
_GET_LOCKED = text(_GET + " for update")
# Ids are made in the order of time.
_PAGE = text(f"""
select {COLUMNS} from exports
where clinic_id = :clinic_id and (cast(:before as uuid) is null or id < :before)
order by id desc limit :most
""")
_ADD = text("""
insert into exports (clinic_id, id, staff_id, scope, state, owner_id, requester, created_at,
                     cutoff_at, due_at)
values (:clinic_id, :id, :staff_id, :scope, :state, :owner_id, :requester, :created_at,
        :cutoff_at, :created_at)
""")
_CANCEL = text("""
update exports set state = 'CANCELLED', lease_id = null, checkpoint = null, staff_name = null
where clinic_id = :clinic_id and id = :id
""")


class Exports:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def get(self, id: UUID, *, lock: bool = False) -> Export | None:
        query = _GET_LOCKED if lock else _GET_PLAIN
        found = await self._connection.execute(query, {"clinic_id": self._clinic_id, "id": id})
        row = found.one_or_none()
        return None if row is None else to_export(row)

    async def page(self, *, before: UUID | None, most: int) -> Sequence[Export]:
        """The newest first, from before an id on."""
        parameters = {"clinic_id": self._clinic_id, "before": before, "most": most}
        return [to_export(row) for row in await self._connection.execute(_PAGE, parameters)]

    async def add(self, export: Export) -> None:
        await self._connection.execute(
            _ADD,
            {
                "clinic_id": export.clinic_id,
                "id": export.id,
                "staff_id": export.staff_id,
                "scope": export.scope,
                "state": export.state,
                "owner_id": export.owner_id,
                "requester": export.requester,
                "created_at": export.created_at,
                "cutoff_at": export.cutoff_at,
            },
        )

    async def cancel(self, export: Export) -> None:
        """Whoever builds it loses it; what was written of it is swept away."""
        await self._connection.execute(_CANCEL, {"clinic_id": export.clinic_id, "id": export.id})


def to_export(row: Row[tuple[object, ...]]) -> Export:
    return Export(
        clinic_id=row.clinic_id,
        id=row.id,
        staff_id=row.staff_id,
        scope=Scope(row.scope),
        state=State(row.state),
        owner_id=row.owner_id,
        requester=bytes(row.requester),
        created_at=row.created_at,
        cutoff_at=row.cutoff_at,
        expires_at=row.expires_at,
        conversations=row.conversations,
        messages=row.messages,
    )
