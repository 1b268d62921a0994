"""The replica's rows of a thread's three parties, joined to the thread in every query alike."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.line import AnyRow
from services.conversations.domain.explaining import SignIn
from services.conversations.domain.people import People
from services.directory_replica import store
from services.messaging_rule import Override, Side

# For a query with `conversations as c`.
PEOPLE_COLUMNS = """clinic.messaging_allowed, staff.active, staff.deactivation_id,
    profile.override, profile.merge_id, profile.merged_into, profile.do_not_email,
    staff.display_name as staff_name, profile.display_name as profile_name"""
PEOPLE_JOINS = """
left join replica_clinics as clinic on clinic.clinic_id = c.clinic_id
left join replica_staff as staff
    on staff.clinic_id = c.clinic_id and staff.staff_id = c.staff_id
left join replica_profiles as profile
    on profile.clinic_id = c.clinic_id and profile.profile_id = c.profile_id
"""


def survivor_of(clinic_id: str, profile_id: str) -> str:
    """SQL: a chain of merges ends at the profile that survives them all (I4)."""
    return f"""(
    with recursive chain (profile_id, merged_into, depth) as (
        select profile_id, merged_into, 0 from replica_profiles
        where clinic_id = {clinic_id} and profile_id = {profile_id}
        union all
        select next.profile_id, next.merged_into, chain.depth + 1
        from chain join replica_profiles as next
          on next.clinic_id = {clinic_id} and next.profile_id = chain.merged_into
        where chain.depth < 100
    )
    select coalesce(merged_into, profile_id) from chain order by depth desc limit 1)"""


def to_people(row: AnyRow) -> People | None:
    """None where the replica does not hold all three yet."""
    if row.messaging_allowed is None or row.active is None or row.override is None:
        return None
    return People(
        clinic_allows=row.messaging_allowed,
        deactivation_id=row.deactivation_id,
        override=Override(row.override),
        merge_id=row.merge_id,
        merged_into=row.merged_into,
        do_not_email=row.do_not_email,
    )


_PEOPLE = text(f"""
select {PEOPLE_COLUMNS}
from (select cast(:clinic_id as uuid) as clinic_id, cast(:staff_id as uuid) as staff_id,
             cast(:profile_id as uuid) as profile_id) as c
{PEOPLE_JOINS}
""")
_PROFILE_ALONE = text("""
select clinic.messaging_allowed, true as active, null as deactivation_id,
    profile.override, profile.merge_id, profile.merged_into, profile.do_not_email
from replica_profiles as profile join replica_clinics as clinic using (clinic_id)
where clinic_id = :clinic_id and profile_id = :profile_id
""")
_IS_STAFF = text("select 1 from replica_staff where clinic_id = :clinic_id and staff_id = :id")
_SURVIVOR = text(f"select {survivor_of(':clinic_id', ':profile_id')}")
_SESSION_AT = text("""
select opened_at from replica_sessions
where clinic_id = :clinic_id and side = :side and person_id = :id
  and opened_at <= :at and (ended_at is null or ended_at > :at)
order by opened_at desc limit 1
""")
_LAST_SIGN_IN = text("""
select person_id, opened_at from replica_sessions
where clinic_id = :clinic_id and side = 'profile' and person_id = any (:ids)
order by opened_at desc limit 1
""")
# Their names are to be held from now on, for the inbox and its search.
_WANT_STAFF = text("""
update replica_staff set wanted = true
where clinic_id = :clinic_id and staff_id = :id and not wanted
""")
_WANT_PROFILE = text("""
update replica_profiles set wanted = true
where clinic_id = :clinic_id and profile_id = :id and not wanted
""")


class PeopleStore:
    """Who the parties of a thread are, as the replica holds them."""

    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def get(self, staff_id: UUID, profile_id: UUID) -> People | None:
        found = await self._connection.execute(
            _PEOPLE,
            {"clinic_id": self._clinic_id, "staff_id": staff_id, "profile_id": profile_id},
        )
        return to_people(found.one())

    async def of_profile(self, profile_id: UUID, *, staff_id: UUID | None) -> People | None:
        """As `get`; without a staff member, as though an active one asked."""
        if staff_id is not None:
            return await self.get(staff_id, profile_id)
        found = await self._connection.execute(
            _PROFILE_ALONE, {"clinic_id": self._clinic_id, "profile_id": profile_id}
        )
        row = found.one_or_none()
        return None if row is None else to_people(row)

    async def is_staff(self, id: UUID) -> bool:
        parameters = {"clinic_id": self._clinic_id, "id": id}
        found = await self._connection.execute(_IS_STAFF, parameters)
        return found.scalar_one_or_none() is not None

    async def is_merged_away(self, profile_id: UUID) -> bool:
        profile = await store.profile(self._connection, self._clinic_id, profile_id)
        return profile is not None and profile.merge_id is not None

    async def survivor_of(self, profile_id: UUID) -> UUID | None:
        """The profile at the end of the chain of merges."""
        parameters = {"clinic_id": self._clinic_id, "profile_id": profile_id}
        survivor: UUID | None = (
            await self._connection.execute(_SURVIVOR, parameters)
        ).scalar_one_or_none()
        return survivor

    async def session_at(self, side: Side, id: UUID, at: datetime) -> datetime | None:
        """Since when somebody was signed in at a moment, or None where they were not."""
        parameters = {"clinic_id": self._clinic_id, "side": side, "id": id, "at": at}
        found = await self._connection.execute(_SESSION_AT, parameters)
        opened_at: datetime | None = found.scalar_one_or_none()
        return opened_at

    async def last_sign_in(self, profile_ids: Collection[UUID]) -> SignIn | None:
        """The latest of any of these profiles."""
        parameters = {"clinic_id": self._clinic_id, "ids": list(profile_ids)}
        row = (await self._connection.execute(_LAST_SIGN_IN, parameters)).one_or_none()
        return None if row is None else SignIn(row.person_id, row.opened_at)

    async def want_names(self, staff_id: UUID, profile_id: UUID) -> None:
        """Hold both names from now on."""
        scope = {"clinic_id": self._clinic_id}
        await self._connection.execute(_WANT_STAFF, scope | {"id": staff_id})
        await self._connection.execute(_WANT_PROFILE, scope | {"id": profile_id})
