"""The replica's SQL: keep the highest version, read what is held."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.json_rows import to_json
from services.chassis.line import AnyRow, Statement
from services.directory_replica.states import (
    ClinicState,
    EndCause,
    ProfileState,
    SessionState,
    StaffState,
    State,
    Version,
)
from services.messaging_rule import Override, Side


@dataclass(frozen=True, slots=True)
class Statements:
    """One table's statements; those that write are for a whole batch of rows given as JSON."""

    read: TextClause
    stale: TextClause
    insert: TextClause
    update: TextClause


# What was done by a version of an earlier life says nothing of the same number in this one.
_ANEW = "".join(
    f", {column} = case when held.incarnation = new.incarnation then held.{column} else 0 end"
    for column in ("derived_version", "details_held")
)


def _statements(
    table: str, key: Sequence[str], values: Sequence[str], *, further: str = ""
) -> Statements:
    columns = [*key, "incarnation", "version", "details_version", *values]
    moved = [column for column in columns if column not in key]
    rows = f"jsonb_populate_recordset(null::{table}, cast(:rows as jsonb)) as new"
    same = " and ".join(f"held.{column} = new.{column}" for column in key)
    older = "(held.incarnation, held.version) < (new.incarnation, new.version)"
    wanted = " and ".join(
        f"{column} = :{name}" for column, name in zip(key, ("clinic_id", "id"), strict=False)
    )
    return Statements(
        read=text(f"select {', '.join(columns)} from {table} where {wanted}"),
        stale=text(f"select 1 from {table} as held join {rows} on {same} where {older} limit 1"),
        insert=text(
            f"insert into {table} ({', '.join(columns)})"
            f" select {', '.join(f'new.{column}' for column in columns)} from {rows}"
            " on conflict do nothing"
        ),
        update=text(
            f"update {table} as held set {', '.join(f'{c} = new.{c}' for c in moved)}{further}"
            f" from {rows} where {same} and {older}"
        ),
    )


_BY_KIND: dict[type[State], Statements] = {
    ClinicState: _statements(
        "replica_clinics", ["clinic_id"], ["messaging_allowed", "mail_hold", "away_after"]
    ),
    StaffState: _statements(
        "replica_staff",
        ["clinic_id", "staff_id"],
        ["active", "deactivation_id", "opted_in_at", "account_owner"],
        further=_ANEW,
    ),
    ProfileState: _statements(
        "replica_profiles",
        ["clinic_id", "profile_id"],
        [
            *("override", "merged_into", "merge_id", "do_not_email"),
            *("unmerged_at", "mailable_since"),
        ],
        further=_ANEW,
    ),
    SessionState: _statements(
        "replica_sessions",
        ["clinic_id", "session_id"],
        ["side", "person_id", "opened_at", "last_activity_at", "ended_at", "end_cause"],
    ),
}


async def insert_missing(connection: AsyncConnection, states: Sequence[State]) -> bool:
    """Take in what is not held at all; whether that was all of them."""
    inserted = 0
    for statements, rows in _batches(states):
        inserted += (await connection.execute(statements.insert, {"rows": rows})).rowcount
    return inserted == len(states)


async def holds_older(connection: AsyncConnection, states: Sequence[State]) -> bool:
    """Is any of these newer than what is held?"""
    for statements, rows in _batches(states):
        found = await connection.execute(statements.stale, {"rows": rows})
        if found.scalar_one_or_none() is not None:
            return True
    return False


async def update_older(connection: AsyncConnection, states: Sequence[State]) -> None:
    """Replace what is held by what is newer."""
    for statements, rows in _batches(states):
        await connection.execute(statements.update, {"rows": rows})


def _batches(states: Sequence[State]) -> list[tuple[Statements, str]]:
    return [
        (statements, to_json([_row(state) for state in of_kind]))
        for kind, statements in _BY_KIND.items()
        if (of_kind := [state for state in states if isinstance(state, kind)])
    ]


def _row(state: State) -> dict[str, object]:
    """The columns of a state."""
    row: dict[str, object] = {
        "incarnation": state.stamp.incarnation,
        "version": state.stamp.version,
    }
    for name in type(state).__dataclass_fields__:
        if name != "stamp":
            row[name] = getattr(state, name)
    return {"details_version": 0} | row


_CLINIC, _STAFF, _PROFILE, _SESSION = (
    _BY_KIND[kind].read for kind in (ClinicState, StaffState, ProfileState, SessionState)
)


async def clinic(connection: AsyncConnection, clinic_id: UUID) -> ClinicState | None:
    row = (await connection.execute(_CLINIC, {"clinic_id": clinic_id})).one_or_none()
    return None if row is None else to_clinic(row)


async def staff(connection: AsyncConnection, clinic_id: UUID, staff_id: UUID) -> StaffState | None:
    found = await connection.execute(_STAFF, {"clinic_id": clinic_id, "id": staff_id})
    row = found.one_or_none()
    return None if row is None else to_staff(row)


async def profile(
    connection: AsyncConnection, clinic_id: UUID, profile_id: UUID
) -> ProfileState | None:
    found = await connection.execute(_PROFILE, {"clinic_id": clinic_id, "id": profile_id})
    row = found.one_or_none()
    return None if row is None else to_profile(row)


def session_of(clinic_id: UUID, session_id: UUID | None) -> Statement:
    return _SESSION, {"clinic_id": clinic_id, "id": session_id}


async def session(
    connection: AsyncConnection, clinic_id: UUID, session_id: UUID
) -> SessionState | None:
    found = await connection.execute(*session_of(clinic_id, session_id))
    row = found.one_or_none()
    return None if row is None else to_session(row)


def _version(row: AnyRow) -> Version:
    return Version(incarnation=row.incarnation, version=row.version)


def to_clinic(row: Row[tuple[object, ...]]) -> ClinicState:
    return ClinicState(
        clinic_id=row.clinic_id,
        stamp=_version(row),
        details_version=row.details_version,
        messaging_allowed=row.messaging_allowed,
        mail_hold=row.mail_hold,
        away_after=row.away_after,
    )


def to_staff(row: Row[tuple[object, ...]]) -> StaffState:
    return StaffState(
        clinic_id=row.clinic_id,
        staff_id=row.staff_id,
        stamp=_version(row),
        details_version=row.details_version,
        active=row.active,
        deactivation_id=row.deactivation_id,
        opted_in_at=row.opted_in_at,
        account_owner=row.account_owner,
    )


def to_profile(row: Row[tuple[object, ...]]) -> ProfileState:
    return ProfileState(
        clinic_id=row.clinic_id,
        profile_id=row.profile_id,
        stamp=_version(row),
        details_version=row.details_version,
        override=Override(row.override),
        merged_into=row.merged_into,
        merge_id=row.merge_id,
        do_not_email=row.do_not_email,
        unmerged_at=row.unmerged_at,
        mailable_since=row.mailable_since,
    )


def to_session(row: AnyRow) -> SessionState:
    return SessionState(
        clinic_id=row.clinic_id,
        session_id=row.session_id,
        stamp=_version(row),
        side=Side(row.side),
        person_id=row.person_id,
        opened_at=row.opened_at,
        last_activity_at=row.last_activity_at,
        ended_at=row.ended_at,
        end_cause=None if row.end_cause is None else EndCause(row.end_cause),
    )
