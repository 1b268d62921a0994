"""Every current state, of all clinics, in one order: for readers that fill their replica."""

from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.directory.domain.events import State, Subject
from services.directory.storage import clinics, profiles, sessions, staff_members

# A session that ended long ago tells nobody anything; it can still be asked for by its id.
_KEYS = text("""
select clinic_id, id, kind from (
    (select clinic_id, clinic_id as id, 'clinic' as kind from clinics
     where (clinic_id, clinic_id) > (:clinic_id, :id) order by 1, 2 limit :most)
    union all
    (select clinic_id, id, 'staff' from staff_members
     where (clinic_id, id) > (:clinic_id, :id) order by clinic_id, id limit :most)
    union all
    (select clinic_id, id, 'profile' from profiles
     where (clinic_id, id) > (:clinic_id, :id) order by clinic_id, id limit :most)
    union all
    (select clinic_id, id, 'session' from sessions
     where (clinic_id, id) > (:clinic_id, :id)
       and (ended_at is null or ended_at > now() - interval '30 days')
     order by clinic_id, id limit :most)
) as keys
order by clinic_id, id limit :most
""")
_IS_ONE = "(p.clinic_id, p.{id}) in (select * from unnest(cast(:clinics as uuid[]), :ids))"
_INCARNATION = text("select incarnation from outbox_head")


def _read(table: str, columns: str, id: str = "id") -> str:
    where = _IS_ONE.format(id=id)
    return f"select {columns} from {table} as p where {where}"


_Mapping = Callable[[Row[tuple[object, ...]]], Subject]

_READERS: dict[str, tuple[str, _Mapping]] = {
    "clinic": (_read("clinics", clinics.COLUMNS, "clinic_id"), clinics.to_clinic),
    "staff": (_read("staff_members", staff_members.COLUMNS), staff_members.to_staff_member),
    "profile": (_read("profiles", profiles.COLUMNS), profiles.to_profile),
    "session": (_read("sessions", sessions.COLUMNS), sessions.to_session),
}


async def incarnation(connection: AsyncConnection) -> UUID:
    """The life of this database, which every version belongs to."""
    found: UUID = (await connection.execute(_INCARNATION)).scalar_one()
    return found


async def page(
    connection: AsyncConnection, *, after: tuple[UUID, UUID], most: int
) -> Sequence[State]:
    """States behind this clinic and id, in that order; as `worker`, it crosses clinics."""
    parameters = {"clinic_id": after[0], "id": after[1], "most": most}
    keys = (await connection.execute(_KEYS, parameters)).all()
    found: dict[tuple[UUID, UUID], Subject] = {}
    for kind, (query, to_subject) in _READERS.items():
        of_kind = [key for key in keys if key.kind == kind]
        if of_kind:
            named = {
                "clinics": [key.clinic_id for key in of_kind],
                "ids": [key.id for key in of_kind],
            }
            rows = await connection.execute(text(query), named)
            subjects = (to_subject(row) for row in rows)
            found |= {(each.clinic_id, each.id): each for each in subjects}
    life = await incarnation(connection)
    return [State(found[key.clinic_id, key.id], life) for key in keys]
