"""Merges, those in force and those undone; none is ever deleted (R52)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.directory.domain.merge import Merge

_COLUMNS = """clinic_id, id, primary_profile_id, secondary_profile_id, actor, merged_at,
    unmerge_actor, unmerged_at"""

_GET = text(f"select {_COLUMNS} from merges where clinic_id = :clinic_id and id = :id")
_CREATE = text("""
insert into merges (clinic_id, id, primary_profile_id, secondary_profile_id, actor, merged_at)
values (:clinic_id, :id, :primary_profile_id, :secondary_profile_id, :actor, :merged_at)
""")
_UNDO = text(f"""
update merges set unmerge_actor = :actor, unmerged_at = :now
where clinic_id = :clinic_id and id = :id
returning {_COLUMNS}
""")
# Ids are UUIDv7: their order is that of time.
_PAGE = text(f"""
select {_COLUMNS} from merges
where clinic_id = :clinic_id
  and (cast(:profile_id as uuid) is null
       or primary_profile_id = :profile_id or secondary_profile_id = :profile_id)
  and (:with_undone or unmerged_at is null)
  and (cast(:before as uuid) is null or id < :before)
order by id desc limit :most
""")


class Merges:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def get(self, id: UUID) -> Merge | None:
        found = await self._connection.execute(_GET, {"clinic_id": self._clinic_id, "id": id})
        row = found.one_or_none()
        return None if row is None else _to_merge(row)

    async def create(self, merge: Merge) -> None:
        await self._connection.execute(
            _CREATE,
            {
                "clinic_id": merge.clinic_id,
                "id": merge.id,
                "primary_profile_id": merge.primary_profile_id,
                "secondary_profile_id": merge.secondary_profile_id,
                "actor": merge.actor,
                "merged_at": merge.merged_at,
            },
        )

    async def undo(self, id: UUID, *, actor: str, now: datetime) -> Merge:
        """Note who undid a merge in force; its secondary profile is locked by the caller."""
        parameters = {"clinic_id": self._clinic_id, "id": id, "actor": actor, "now": now}
        return _to_merge((await self._connection.execute(_UNDO, parameters)).one())

    async def page(
        self, *, profile_id: UUID | None, with_undone: bool, before: UUID | None, most: int
    ) -> Sequence[Merge]:
        """Merges of the clinic, or those that concern one profile, the newest first."""
        parameters = {
            "clinic_id": self._clinic_id,
            "profile_id": profile_id,
            "with_undone": with_undone,
            "before": before,
            "most": most,
        }
        rows = await self._connection.execute(_PAGE, parameters)
        return [_to_merge(row) for row in rows]


def _to_merge(row: Row[tuple[object, ...]]) -> Merge:
    return Merge(
        clinic_id=row.clinic_id,
        id=row.id,
        primary_profile_id=row.primary_profile_id,
        secondary_profile_id=row.secondary_profile_id,
        actor=row.actor,
        merged_at=row.merged_at,
        unmerge_actor=row.unmerge_actor,
        unmerged_at=row.unmerged_at,
    )
