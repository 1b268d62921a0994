"""Who somebody is in other systems, and rows of files saved many at a time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.json_rows import to_json
from services.directory.domain.profile import Profile
from services.directory.storage.profiles import COLUMNS, parameters_of, to_profile
from services.search_terms import fold, terms

_KNOWN = text("""
select value, person_id from source_identifiers
where clinic_id = :clinic_id and system = :system and value = any(:values)
""")
_IDENTIFY = text("""
insert into source_identifiers (clinic_id, system, value, person_id)
select :clinic_id, :system, new.value, new.person_id
from jsonb_populate_recordset(null::source_identifiers, cast(:rows as jsonb)) as new
""")
# Locked in the order of ids, as everywhere.
_LOCK_MANY = text(f"""
select {COLUMNS} from profiles as p where p.clinic_id = :clinic_id and p.id = any(:ids)
order by p.id for no key update
""")
_CREATE_MANY = text("""
insert into profiles (clinic_id, id, kind, display_name, preferred_name, email, phone, birth_date,
    do_not_email, override, name_key, email_key, phone_key, version, details_version, created_at)
select new.clinic_id, new.id, new.kind, new.display_name, new.preferred_name, new.email, new.phone,
    new.birth_date, new.do_not_email, new.override, new.name_key, new.email_key, new.phone_key,
    1, 1, new.created_at
from jsonb_populate_recordset(null::profiles, cast(:rows as jsonb)) as new
""")
# In the order of the index, of which neighbours then share a page.
_SAY_MANY = text("""
insert into search_terms (clinic_id, term, profile_id, name_key)
select :clinic_id, said.term, new.id, new.name_key
from unnest(cast(:ids as uuid[]), cast(:name_keys as text[]), cast(:terms as text[]))
        as new (id, name_key, terms),
    string_to_table(new.terms, ' ') as said (term)
order by said.term, new.id
""")
# What was done stays done: a merge that people have undone is not made again.
_LINK = text("""
insert into source_links (clinic_id, system, value, target)
values (:clinic_id, :system, :value, :target)
on conflict (clinic_id, system, value) do update set target = excluded.target
where source_links.merge_id is null
""")
_OPEN_LINKS = text("""
select link.value, this.person_id as secondary_id, other.person_id as primary_id
from source_links as link
left join source_identifiers as this on this.clinic_id = link.clinic_id
    and this.system = link.system and this.value = link.value
left join source_identifiers as other on other.clinic_id = link.clinic_id
    and other.system = link.system and other.value = link.target
where link.clinic_id = :clinic_id and link.system = :system and link.merge_id is null
  and link.value > :after
order by link.value limit :most
""")
_CLOSE_LINK = text("""
update source_links set merge_id = :merge_id
where clinic_id = :clinic_id and system = :system and value = :value
""")


@dataclass(frozen=True, slots=True)
class Link:
    """A profile that a file says was replaced; an id is None where the file has not brought it."""

    value: str
    secondary_id: UUID | None
    primary_id: UUID | None


class Imports:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def known(self, system: str, values: Collection[str]) -> dict[str, UUID]:
        """The people behind these external ids, as far as they were imported before."""
        parameters = {"clinic_id": self._clinic_id, "system": system, "values": list(values)}
        rows = await self._connection.execute(_KNOWN, parameters)
        return {row.value: row.person_id for row in rows}

    async def identify(self, system: str, people: Mapping[str, UUID]) -> None:
        """Remember who these external ids are."""
        rows = [{"value": value, "person_id": id} for value, id in people.items()]
        if rows:
            parameters = {"clinic_id": self._clinic_id, "system": system, "rows": to_json(rows)}
            await self._connection.execute(_IDENTIFY, parameters)

    async def lock_profiles(self, ids: Collection[UUID]) -> dict[UUID, Profile]:
        parameters = {"clinic_id": self._clinic_id, "ids": list(ids)}
        rows = await self._connection.execute(_LOCK_MANY, parameters)
        return {row.id: to_profile(row) for row in rows}

    async def create_profiles(self, profiles: Sequence[Profile]) -> None:
        if not profiles:
            return
        rows = to_json([parameters_of(profile) for profile in profiles])
        await self._connection.execute(_CREATE_MANY, {"rows": rows})
        said = {
            "clinic_id": self._clinic_id,
            "ids": [profile.id for profile in profiles],
            "name_keys": [fold(profile.display_name) for profile in profiles],
            "terms": [" ".join(terms(profile.searchable)) for profile in profiles],
        }
        await self._connection.execute(_SAY_MANY, said)

    async def link(self, system: str, value: str, *, target: str) -> None:
        """Remember that a profile was replaced by another, unless it was merged for that before."""
        row = {"clinic_id": self._clinic_id, "system": system, "value": value, "target": target}
        await self._connection.execute(_LINK, row)

    async def open_links(self, system: str, *, after: str, most: int) -> Sequence[Link]:
        """Links whose merge has not been made, in the order of external ids."""
        parameters = {
            "clinic_id": self._clinic_id,
            "system": system,
            "after": after,
            "most": most,
        }
        rows = await self._connection.execute(_OPEN_LINKS, parameters)
        return [Link(row.value, row.secondary_id, row.primary_id) for row in rows]

    async def close_link(self, system: str, value: str, *, merge_id: UUID) -> None:
        row = {
            "clinic_id": self._clinic_id,
            "system": system,
            "value": value,
            "merge_id": merge_id,
        }
        await self._connection.execute(_CLOSE_LINK, row)
