"""The clinic and the recipient as the replica holds them, in the terms of our rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.directory_replica import store
from services.directory_replica.states import (
    ClinicState,
    EndCause,
    ProfileState,
    StaffState,
    State,
)
from services.messaging_rule import Side
from services.notifications.domain.delivery import Recipient
from services.notifications.domain.rules import Person, Profile, Session, Staff

_SESSIONS = text("""
select opened_at, last_activity_at, ended_at, end_cause from replica_sessions
where clinic_id = :clinic_id and person_id = :person_id and side = 'staff'
  and opened_at <= :latest and (ended_at is null or ended_at > :earliest)
""")
# Before anything is read of the person: from here on these rows stand still.
_DERIVE = text("""
with derived as (
    update replica_sessions set derived_version = version
    where clinic_id = :clinic_id and person_id = :person_id and side = 'staff'
      and ended_at is not null and derived_version <> version
    returning last_activity_at, ended_at
)
select min(least(last_activity_at, ended_at)) from derived
""")


class NotHeld(Exception):
    """The replica lacks a state that the decision needs: the event came before it."""

    def __init__(self, kind: type[State], id: UUID) -> None:
        super().__init__(kind.__name__)
        self.kind = kind
        self.id = id


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision rests on, beside the message."""

    person: Person
    mail_hold: timedelta


class People:
    """Of the caller's clinic. Raises NotHeld for what the replica lacks."""

    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def circumstances(self, recipient: Recipient, times: Sequence[datetime]) -> Circumstances:
        """The recipient, with the sessions that bear on messages of these times."""
        clinic = await store.clinic(self._connection, self._clinic_id)
        if clinic is None:
            raise NotHeld(ClinicState, self._clinic_id)
        person: Person
        if recipient.side is Side.PROFILE:
            person = await self._profile(recipient.id)
        else:
            person = await self._staff(recipient.id, times, clinic.away_after)
        return Circumstances(person, clinic.mail_hold)

    async def derive_ended_sessions(self, staff_id: UUID) -> datetime | None:
        """Note that the consequences of this person's ended sessions are being drawn: from which
        message on, or None where there is nothing new."""
        parameters = {"clinic_id": self._clinic_id, "person_id": staff_id}
        since: datetime | None = (
            await self._connection.execute(_DERIVE, parameters)
        ).scalar_one_or_none()
        return since

    async def _profile(self, id: UUID) -> Profile:
        profile = await store.profile(self._connection, self._clinic_id, id)
        if profile is None:
            raise NotHeld(ProfileState, id)
        return Profile(do_not_email=profile.do_not_email, merged=profile.merge_id is not None)

    async def _staff(
        self, id: UUID, times: Sequence[datetime], away_after: timedelta | None
    ) -> Staff:
        staff = await store.staff(self._connection, self._clinic_id, id)
        if staff is None:
            raise NotHeld(StaffState, id)
        return Staff(
            active=staff.active,
            opted_in_at=staff.opted_in_at,
            sessions=await self._sessions(id, times),
            away_after=away_after,
        )

    async def _sessions(self, staff_id: UUID, times: Sequence[datetime]) -> list[Session]:
        parameters = {
            "clinic_id": self._clinic_id,
            "person_id": staff_id,
            "earliest": min(times),
            "latest": max(times),
        }
        rows = await self._connection.execute(_SESSIONS, parameters)
        return [_to_session(row) for row in rows]


def _to_session(row: Row[tuple[object, ...]]) -> Session:
    return Session(
        opened_at=row.opened_at,
        last_activity_at=row.last_activity_at,
        ended_at=row.ended_at,
        expired=row.end_cause == EndCause.EXPIRED,
    )
