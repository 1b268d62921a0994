"""Staff members, with the history of their addresses and of who owned the clinic (I24)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.directory.domain.staff_member import AccessLevel, StaffKind, StaffMember
from services.search_terms import fold

COLUMNS = """clinic_id, id, kind, access_level, account_owner, display_name, email,
    deactivation_id, deactivated_at, mail_opted_in_at, version, details_version, created_at"""

_GET = f"select {COLUMNS} from staff_members where clinic_id = :clinic_id and id = :id"
_GET_PLAIN = text(_GET)
_GET_LOCKED = text(_GET + " for no key update")
_CREATE = text("""
insert into staff_members (clinic_id, id, kind, access_level, account_owner, display_name, email,
    name_key, version, details_version, created_at)
values (:clinic_id, :id, :kind, :access_level, :account_owner, :display_name, :email,
    :name_key, 1, 1, :created_at)
""")
_SAVE = text(f"""
update staff_members set
    kind = :kind, access_level = :access_level, account_owner = :account_owner,
    display_name = :display_name, email = :email, name_key = :name_key,
    deactivation_id = :deactivation_id,
    deactivated_at = :deactivated_at, mail_opted_in_at = :mail_opted_in_at,
    version = version + 1,
    details_version = details_version + cast(
        (display_name, email) is distinct from (:display_name, :email) as integer)
where clinic_id = :clinic_id and id = :id
returning {COLUMNS}
""")
_PAGE = text(f"""
select {COLUMNS} from staff_members
where clinic_id = :clinic_id and (:with_inactive or deactivation_id is null)
  and (name_key, id) > (:after_name, cast(:after_id as uuid))
order by name_key, id limit :most
""")
_MANY = text(f"""
select {COLUMNS} from staff_members where clinic_id = :clinic_id and id = any(:ids)
""")
_BEFORE_ALL = UUID(int=0)
# Where a page ended: a folded name and an id.
NamePlace = tuple[str, UUID]
_NOTE_EMAIL = text("""
insert into staff_emails (clinic_id, staff_id, changed_at, email)
values (:clinic_id, :id, :at, :email)
""")
_NOTE_OWNER = text("""
insert into account_owners (clinic_id, owner_since, staff_id) values (:clinic_id, :at, :id)
""")

# Each owner's addresses while they were the owner; the last row is what held at the time asked for.
_OWNER_ADDRESSES = text("""
with owned as (
    select staff_id, owner_since, lead(owner_since) over (order by owner_since) as until
    from account_owners where clinic_id = :clinic_id
), kept as (
    select staff_id, email, changed_at,
        lead(changed_at) over (partition by staff_id order by changed_at) as until
    from staff_emails where clinic_id = :clinic_id
), told as (
    select staff_id, email, greatest(owned.owner_since, kept.changed_at) as since
    from owned join kept using (staff_id)
    where (owned.until is null or kept.changed_at < owned.until)
      and (kept.until is null or kept.until > owned.owner_since)
)
select staff_id, email, since from told
where since >= coalesce((select max(since) from told where since <= :at), '-infinity')
order by since desc limit :most
""")
_MOST_ADDRESSES = 50


@dataclass(frozen=True, slots=True)
class OwnerAddress:
    """An address that was the Account Owner's from this time on."""

    staff_id: UUID
    email: str
    since: datetime


class StaffMembers:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def get(self, id: UUID) -> StaffMember | None:
        return await self._one(_GET_PLAIN, id)

    async def lock(self, id: UUID) -> StaffMember | None:
        """As `get`, and nobody else changes it before the transaction ends."""
        return await self._one(_GET_LOCKED, id)

    async def _one(self, query: TextClause, id: UUID) -> StaffMember | None:
        found = await self._connection.execute(query, {"clinic_id": self._clinic_id, "id": id})
        row = found.one_or_none()
        return None if row is None else to_staff_member(row)

    async def owner_addresses(self, *, at: datetime) -> Sequence[OwnerAddress]:
        """Which address was the Account Owner's, from this time on; the current one first."""
        parameters = {"clinic_id": self._clinic_id, "at": at, "most": _MOST_ADDRESSES}
        rows = await self._connection.execute(_OWNER_ADDRESSES, parameters)
        return [OwnerAddress(row.staff_id, row.email, row.since) for row in rows]

    async def create(self, member: StaffMember) -> None:
        await self._connection.execute(_CREATE, _parameters(member))
        await self._note_email(member, at=member.created_at)
        if member.account_owner:
            await self._note_owner(member, at=member.created_at)

    async def save(self, before: StaffMember, after: StaffMember, *, now: datetime) -> StaffMember:
        """Save a locked member under its next version, and what exports have to know of it."""
        saved = to_staff_member((await self._connection.execute(_SAVE, _parameters(after))).one())
        if after.email != before.email:
            await self._note_email(after, at=now)
        if after.account_owner and not before.account_owner:
            await self._note_owner(after, at=now)
        return saved

    async def _note_email(self, member: StaffMember, *, at: datetime) -> None:
        row = {"clinic_id": member.clinic_id, "id": member.id, "at": at, "email": member.email}
        await self._connection.execute(_NOTE_EMAIL, row)

    async def _note_owner(self, member: StaffMember, *, at: datetime) -> None:
        row = {"clinic_id": member.clinic_id, "id": member.id, "at": at}
        await self._connection.execute(_NOTE_OWNER, row)

    async def page(
        self, *, with_inactive: bool, after: NamePlace | None, most: int
    ) -> Sequence[StaffMember]:
        """Staff in the order of their folded names."""
        parameters = {
            "clinic_id": self._clinic_id,
            "with_inactive": with_inactive,
            "after_name": after[0] if after else "",
            "after_id": after[1] if after else _BEFORE_ALL,
            "most": most,
        }
        rows = await self._connection.execute(_PAGE, parameters)
        return [to_staff_member(row) for row in rows]

    async def many(self, ids: Sequence[UUID]) -> Sequence[StaffMember]:
        """Those of these that there are."""
        parameters = {"clinic_id": self._clinic_id, "ids": list(ids)}
        rows = await self._connection.execute(_MANY, parameters)
        return [to_staff_member(row) for row in rows]


def place_of(member: StaffMember) -> NamePlace:
    return (fold(member.display_name), member.id)


def _parameters(member: StaffMember) -> dict[str, object]:
    return {
        "clinic_id": member.clinic_id,
        "id": member.id,
        "kind": member.kind,
        "access_level": member.access_level,
        "account_owner": member.account_owner,
        "display_name": member.display_name,
        "name_key": fold(member.display_name),
        "email": member.email,
        "deactivation_id": member.deactivation_id,
        "deactivated_at": member.deactivated_at,
        "mail_opted_in_at": member.mail_opted_in_at,
        "created_at": member.created_at,
    }


def to_staff_member(row: Row[tuple[object, ...]]) -> StaffMember:
    return StaffMember(
        clinic_id=row.clinic_id,
        id=row.id,
        kind=StaffKind(row.kind),
        access_level=AccessLevel(row.access_level),
        account_owner=row.account_owner,
        display_name=row.display_name,
        email=row.email,
        deactivation_id=row.deactivation_id,
        deactivated_at=row.deactivated_at,
        mail_opted_in_at=row.mail_opted_in_at,
        version=row.version,
        details_version=row.details_version,
        created_at=row.created_at,
    )
