"""Sign-ins: one row each, ended and never deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.directory.domain.session import EndCause, Session, SessionLimits
from services.messaging_rule import Side

COLUMNS = """clinic_id, id, side, person_id, opened_at, last_activity_at, ended_at, end_cause,
    version"""

_GET = text(f"select {COLUMNS} from sessions where clinic_id = :clinic_id and id = :id")
# What nearly every call of a person asks, in one look.
_STANDING = text(f"""
select {", ".join(f"session.{column.strip()}" for column in COLUMNS.split(","))},
    clinic.messaging_policy = 'ALLOWED' as clinic_allows,
    member.id is not null and member.deactivation_id is null as staff_active
from sessions as session join clinics as clinic on clinic.clinic_id = session.clinic_id
left join staff_members as member
    on session.side = 'staff' and member.clinic_id = session.clinic_id
   and member.id = session.person_id
where session.clinic_id = :clinic_id and session.id = :id
""")
_CREATE = text("""
insert into sessions (clinic_id, id, side, person_id, opened_at, last_activity_at, version)
values (:clinic_id, :id, :side, :person_id, :opened_at, :last_activity_at, 1)
""")
_TOUCH = text(f"""
update sessions set last_activity_at = greatest(last_activity_at, :now), version = version + 1
where clinic_id = :clinic_id and id = :id and ended_at is null
returning {COLUMNS}
""")
_ENDED = """
update sessions set ended_at = greatest(opened_at, :now), end_cause = :cause,
    version = version + 1
where clinic_id = :clinic_id and ended_at is null
"""
_END = text(f"{_ENDED} and id = :id returning {COLUMNS}")
_END_OF_PERSON = text(f"{_ENDED} and side = :side and person_id = :person_id returning {COLUMNS}")
_END_IDLE = text(f"""
{_ENDED} and id = any(:ids) and (last_activity_at <= :idle_since or opened_at <= :opened_before)
returning {COLUMNS}
""")
_PAGE = text(f"""
select {COLUMNS} from sessions
where clinic_id = :clinic_id and side = :side and person_id = :person_id
  and (:with_ended or ended_at is null)
  and (cast(:before_at as timestamptz) is null or (opened_at, id) < (:before_at, :before_id))
order by opened_at desc, id desc limit :most
""")
_DUE = text("""
select clinic_id, id from sessions
where ended_at is null and (last_activity_at <= clock_timestamp() - :idle
                            or opened_at <= clock_timestamp() - :lifetime)
order by clinic_id, id limit :most
""")


@dataclass(frozen=True, slots=True)
class Standing:
    """A session, and what its person's part in messaging rests on now."""

    session: Session
    clinic_allows: bool
    staff_active: bool


class Sessions:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def get(self, id: UUID) -> Session | None:
        found = await self._connection.execute(_GET, {"clinic_id": self._clinic_id, "id": id})
        row = found.one_or_none()
        return None if row is None else to_session(row)

    async def standing(self, id: UUID) -> Standing | None:
        found = await self._connection.execute(_STANDING, {"clinic_id": self._clinic_id, "id": id})
        row = found.one_or_none()
        if row is None:
            return None
        return Standing(to_session(row), row.clinic_allows, row.staff_active)

    async def create(self, session: Session) -> None:
        await self._connection.execute(
            _CREATE,
            {
                "clinic_id": session.clinic_id,
                "id": session.id,
                "side": session.side,
                "person_id": session.person_id,
                "opened_at": session.opened_at,
                "last_activity_at": session.last_activity_at,
            },
        )

    async def touch(self, id: UUID, *, now: datetime) -> Session | None:
        """A sign of life; None where the session has ended."""
        parameters = {"clinic_id": self._clinic_id, "id": id, "now": now}
        row = (await self._connection.execute(_TOUCH, parameters)).one_or_none()
        return None if row is None else to_session(row)

    async def end(self, id: UUID, *, cause: EndCause, now: datetime) -> Session | None:
        """End it now; None where it has ended before, or is not there."""
        parameters = {"clinic_id": self._clinic_id, "id": id, "cause": cause, "now": now}
        row = (await self._connection.execute(_END, parameters)).one_or_none()
        return None if row is None else to_session(row)

    async def end_all_of(
        self, side: Side, person_id: UUID, *, cause: EndCause, now: datetime
    ) -> Sequence[Session]:
        """End what a person has open; those that it ended."""
        parameters = {
            "clinic_id": self._clinic_id,
            "side": side,
            "person_id": person_id,
            "cause": cause,
            "now": now,
        }
        rows = await self._connection.execute(_END_OF_PERSON, parameters)
        return [to_session(row) for row in rows]

    async def expire(
        self, ids: Sequence[UUID], *, limits: SessionLimits, now: datetime
    ) -> Sequence[Session]:
        """End those of these that are still open and still over a limit."""
        parameters = {
            "clinic_id": self._clinic_id,
            "ids": list(ids),
            "cause": EndCause.EXPIRED,
            "now": now,
            "idle_since": now - limits.idle,
            "opened_before": now - limits.lifetime,
        }
        rows = await self._connection.execute(_END_IDLE, parameters)
        return [to_session(row) for row in rows]

    async def page(
        self,
        side: Side,
        person_id: UUID,
        *,
        with_ended: bool,
        before: tuple[datetime, UUID] | None,
        most: int,
    ) -> Sequence[Session]:
        """One person's sessions, the newest first."""
        before_at, before_id = before or (None, None)
        parameters = {
            "clinic_id": self._clinic_id,
            "side": side,
            "person_id": person_id,
            "with_ended": with_ended,
            "before_at": before_at,
            "before_id": before_id,
            "most": most,
        }
        rows = await self._connection.execute(_PAGE, parameters)
        return [to_session(row) for row in rows]


async def due(
    connection: AsyncConnection, limits: SessionLimits, *, most: int
) -> Sequence[tuple[UUID, UUID]]:
    """Clinic and id of sessions over a limit, of all clinics; as `worker`."""
    parameters = {"idle": limits.idle, "lifetime": limits.lifetime, "most": most}
    rows = await connection.execute(_DUE, parameters)
    return [(row.clinic_id, row.id) for row in rows]


def to_session(row: Row[tuple[object, ...]]) -> Session:
    return Session(
        clinic_id=row.clinic_id,
        id=row.id,
        side=Side(row.side),
        person_id=row.person_id,
        opened_at=row.opened_at,
        last_activity_at=row.last_activity_at,
        ended_at=row.ended_at,
        end_cause=None if row.end_cause is None else EndCause(row.end_cause),
        version=row.version,
    )
