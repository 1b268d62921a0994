"""Names that the inbox shows and is searched by, held for the people of threads only."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.database import Database
from services.messaging_rule import Side
from services.search_terms import terms

_MOST = 200
_STALE = {
    side: text(f"""
        select clinic_id, {side}_id as id from {table}
        where wanted and details_held <> details_version and details_held < details_version
        order by clinic_id, {side}_id limit {_MOST}
    """)
    for side, table in ((Side.STAFF, "replica_staff"), (Side.PROFILE, "replica_profiles"))
}
_HOLD = {
    side: text(f"""
        update {table} set display_name = new.display_name, details_held = new.version
        from jsonb_to_recordset(cast(:rows as jsonb))
            as new (id uuid, display_name text, version bigint)
        where clinic_id = :clinic_id and {side}_id = new.id and details_held < new.version
        returning new.id
    """)
    for side, table in ((Side.STAFF, "replica_staff"), (Side.PROFILE, "replica_profiles"))
}
_FORGET_TERMS = text("""
delete from search_terms where clinic_id = :clinic_id and person_id = any(:ids)
""")
_ADD_TERMS = text("""
insert into search_terms (clinic_id, term, person_id)
select :clinic_id, new.term, new.id
from jsonb_to_recordset(cast(:rows as jsonb)) as new (id uuid, term text)
on conflict do nothing
""")


@dataclass(frozen=True, slots=True)
class Name:
    """A person's name as the directory has it, and the version of the person it is of."""

    text: str
    version: int


@dataclass(frozen=True, slots=True)
class Stale:
    """People of one clinic whose names are wanted and older than what the directory has."""

    clinic_id: UUID
    staff: Sequence[UUID]
    profiles: Sequence[UUID]


class Names:
    def __init__(self, app: Database, worker: Database) -> None:
        self._app = app
        self._worker = worker

    async def stale(self) -> Sequence[Stale]:
        """Whose names to ask for now, a clinic at a time; at most 200 of each side."""

        async def work(connection: AsyncConnection) -> Sequence[Stale]:
            found = {
                side: (await connection.execute(query)).all() for side, query in _STALE.items()
            }
            clinics = sorted({row.clinic_id for rows in found.values() for row in rows})
            return [
                Stale(
                    clinic_id,
                    [row.id for row in found[Side.STAFF] if row.clinic_id == clinic_id],
                    [row.id for row in found[Side.PROFILE] if row.clinic_id == clinic_id],
                )
                for clinic_id in clinics
            ]

        return await self._worker.connect(work)

    async def hold(self, clinic_id: UUID, side: Side, names: Mapping[UUID, Name]) -> bool:
        """Keep these names, and what they are searched by; true where one was newer than ours."""
        rows = [
            {"id": str(id), "display_name": name.text, "version": name.version}
            for id, name in names.items()
        ]

        async def work(connection: AsyncConnection, _: object) -> bool:
            scope = {"clinic_id": clinic_id}
            held = await connection.execute(_HOLD[side], scope | {"rows": json.dumps(rows)})
            newer = list(held.scalars())
            searched = [
                {"id": str(id), "term": term} for id in newer for term in terms(names[id].text)
            ]
            await connection.execute(_FORGET_TERMS, scope | {"ids": newer})
            await connection.execute(_ADD_TERMS, scope | {"rows": json.dumps(searched)})
            return bool(newer)

        return await self._app.transact(work, clinics=[clinic_id])
