"""Clinics and recipients as the replica holds them, in the terms of our rules."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import TextClause, text

from services.chassis.line import AnyRow, Connection
from services.directory_replica.states import (
    ClinicState,
    EndCause,
    ProfileState,
    StaffState,
    State,
)
from services.messaging_rule import Side
from services.notifications.domain.delivery import Whom
from services.notifications.domain.rules import Person, Profile, Session, Staff

_CLINICS = text("""
select clinic_id, mail_hold, away_after from replica_clinics
where clinic_id = any(cast(:clinics as uuid[]))
""")
_PROFILES = text("""
select clinic_id, profile_id, do_not_email, merge_id, unmerged_at, mailable_since
from replica_profiles
join unnest(cast(:clinics as uuid[]), cast(:ids as uuid[])) as asked (clinic_id, profile_id)
    using (clinic_id, profile_id)
""")
_STAFF = text("""
select clinic_id, staff_id, active, opted_in_at from replica_staff
join unnest(cast(:clinics as uuid[]), cast(:ids as uuid[])) as asked (clinic_id, staff_id)
    using (clinic_id, staff_id)
""")
_SESSIONS = text("""
select clinic_id, person_id, opened_at, last_activity_at, ended_at, end_cause
from replica_sessions
join unnest(cast(:clinics as uuid[]), cast(:ids as uuid[]), cast(:earliest as timestamptz[]),
            cast(:latest as timestamptz[])) as asked (clinic_id, person_id, earliest, latest)
    using (clinic_id, person_id)
where side = 'staff' and opened_at <= latest and (ended_at is null or ended_at > earliest)
""")
# Before anything is read of the person: from here on these rows stand still.
_DERIVE = text("""
with derived as (
    update replica_sessions as held
    set derived_version = version, derived_incarnation = incarnation
    from unnest(cast(:clinics as uuid[]), cast(:ids as uuid[])) as asked (clinic_id, person_id)
    where held.clinic_id = asked.clinic_id and held.person_id = asked.person_id
      and side = 'staff' and ended_at is not null
      and (derived_incarnation, derived_version) <> (incarnation, version)
    returning held.clinic_id, held.person_id, last_activity_at, ended_at
)
select clinic_id, person_id, min(least(last_activity_at, ended_at)) as since
from derived group by clinic_id, person_id
""")


@dataclass(frozen=True, slots=True)
class Missing:
    """A state that the replica lacks."""

    clinic_id: UUID
    kind: type[State]
    id: UUID


class NotHeld(Exception):
    """The replica lacks states that the work needs: it came before them. `reasons` says why they
    could not be had from the directory, where that was tried."""

    def __init__(
        self, missing: Collection[Missing], reasons: Mapping[Missing, Exception] | None = None
    ) -> None:
        super().__init__(f"{len(missing)} states")
        self.missing = missing
        self.reasons = reasons or {}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision rests on, beside the message."""

    person: Person
    mail_hold: timedelta


@dataclass(frozen=True, slots=True)
class _Clinic:
    mail_hold: timedelta
    away_after: timedelta | None


class People:
    """Of any clinics of the transaction. Raises NotHeld for what the replica lacks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def circumstances(
        self, asked: Iterable[tuple[Whom, datetime]]
    ) -> Mapping[Whom, Circumstances]:
        """The recipients, each with the sessions that bear on messages of these times."""
        times = _spans(asked)
        clinics = await self._clinics({whom.clinic_id for whom in times})
        missing = {
            Missing(whom.clinic_id, ClinicState, whom.clinic_id)
            for whom in times
            if whom.clinic_id not in clinics
        }
        profiles = await self._profiles([w for w in times if w.recipient.side is Side.PROFILE])
        staff = await self._staff(
            {w: span for w, span in times.items() if w.recipient.side is Side.STAFF}, clinics
        )
        people: dict[Whom, Person] = {**profiles, **staff}
        missing |= {_missing(whom) for whom in times if whom not in people}
        if missing:
            raise NotHeld(missing)
        return {
            whom: Circumstances(people[whom], clinics[whom.clinic_id].mail_hold) for whom in times
        }

    async def derive_ended_sessions(self, people: Collection[Whom]) -> Mapping[Whom, datetime]:
        """Note that the consequences of these staff members' ended sessions are being drawn: from
        which message on, for those of whom there is something new."""
        by_id = _by_id(people)
        rows = await self._named(_DERIVE, list(by_id.values()))
        return {by_id[row.clinic_id, row.person_id]: row.since for row in rows}

    async def _clinics(self, clinic_ids: Collection[UUID]) -> Mapping[UUID, _Clinic]:
        rows = await self._connection.execute(_CLINICS, {"clinics": list(clinic_ids)})
        return {row.clinic_id: _Clinic(row.mail_hold, row.away_after) for row in rows}

    async def _profiles(self, people: Collection[Whom]) -> Mapping[Whom, Profile]:
        by_id = _by_id(people)
        rows = await self._named(_PROFILES, people)
        return {
            by_id[row.clinic_id, row.profile_id]: Profile(
                do_not_email=row.do_not_email,
                merged=row.merge_id is not None,
                unmerged_at=row.unmerged_at,
                mailable_since=row.mailable_since,
            )
            for row in rows
        }

    async def _staff(
        self,
        spans: Mapping[Whom, tuple[datetime, datetime]],
        clinics: Mapping[UUID, _Clinic],
    ) -> Mapping[Whom, Staff]:
        by_id = _by_id(spans)
        sessions = await self._sessions(spans)
        return {
            (whom := by_id[row.clinic_id, row.staff_id]): Staff(
                active=row.active,
                opted_in_at=row.opted_in_at,
                sessions=sessions[whom],
                away_after=clinics[row.clinic_id].away_after,
            )
            for row in await self._named(_STAFF, spans)
            if row.clinic_id in clinics
        }

    async def _sessions(
        self, spans: Mapping[Whom, tuple[datetime, datetime]]
    ) -> Mapping[Whom, list[Session]]:
        by_id = _by_id(spans)
        found: dict[Whom, list[Session]] = {whom: [] for whom in spans}
        rows = await self._named(
            _SESSIONS,
            spans,
            earliest=[earliest for earliest, _ in spans.values()],
            latest=[latest for _, latest in spans.values()],
        )
        for row in rows:
            found[by_id[row.clinic_id, row.person_id]].append(_to_session(row))
        return found

    async def _named(
        self, statement: TextClause, people: Collection[Whom], **further: object
    ) -> Iterable[AnyRow]:
        """Rows of a statement about people, given as clinics and ids; none about nobody."""
        if not people:
            return []
        parameters = {
            "clinics": [whom.clinic_id for whom in people],
            "ids": [whom.recipient.id for whom in people],
        }
        return await self._connection.execute(statement, parameters | further)


def _spans(asked: Iterable[tuple[Whom, datetime]]) -> dict[Whom, tuple[datetime, datetime]]:
    """The earliest and the latest time for each."""
    spans: dict[Whom, tuple[datetime, datetime]] = {}
    for whom, at in asked:
        earliest, latest = spans.get(whom, (at, at))
        spans[whom] = min(earliest, at), max(latest, at)
    return spans


def _by_id(people: Iterable[Whom]) -> dict[tuple[UUID, UUID], Whom]:
    return {(whom.clinic_id, whom.recipient.id): whom for whom in people}


def _missing(whom: Whom) -> Missing:
    kind = StaffState if whom.recipient.side is Side.STAFF else ProfileState
    return Missing(whom.clinic_id, kind, whom.recipient.id)


def _to_session(row: AnyRow) -> Session:
    return Session(
        opened_at=row.opened_at,
        last_activity_at=row.last_activity_at,
        ended_at=row.ended_at,
        expired=row.end_cause == EndCause.EXPIRED,
    )
