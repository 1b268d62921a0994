"""Profiles, with the terms that they are found by."""

from collections.abc import Sequence
from functools import cache
from uuid import UUID

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.directory.domain.profile import Profile, ProfileKind
from services.directory.domain.wording import email_key, phone_key
from services.messaging_rule import Override
from services.search_terms import fold, ranges, terms

COLUMNS = """p.clinic_id, p.id, p.kind, p.display_name, p.preferred_name, p.email, p.phone,
    p.birth_date, p.do_not_email, p.override, p.merged_into, p.merge_id, p.unmerged_at,
    p.mailable_since, p.version, p.details_version, p.created_at"""

_GET = f"select {COLUMNS} from profiles as p where p.clinic_id = :clinic_id and p.id = :id"
_GET_PLAIN = text(_GET)
_GET_LOCKED = text(_GET + " for no key update")
_CREATE = text("""
insert into profiles (clinic_id, id, kind, display_name, preferred_name, email, phone, birth_date,
    do_not_email, override, name_key, email_key, phone_key, version, details_version, created_at)
values (:clinic_id, :id, :kind, :display_name, :preferred_name, :email, :phone, :birth_date,
    :do_not_email, :override, :name_key, :email_key, :phone_key, 1, 1, :created_at)
""")
_SAVE = text(f"""
update profiles as p set
    kind = :kind, display_name = :display_name, preferred_name = :preferred_name, email = :email,
    phone = :phone, birth_date = :birth_date, do_not_email = :do_not_email, override = :override,
    merged_into = :merged_into, merge_id = :merge_id, unmerged_at = :unmerged_at,
    mailable_since = :mailable_since, name_key = :name_key,
    email_key = :email_key, phone_key = :phone_key, version = version + 1,
    details_version = details_version + cast(
        (display_name, preferred_name, email, phone, birth_date) is distinct from
        (:display_name, :preferred_name, :email, :phone, cast(:birth_date as date)) as integer)
where clinic_id = :clinic_id and id = :id
returning {COLUMNS}
""")
_MANY = text(f"select {COLUMNS} from profiles as p where clinic_id = :clinic_id and id = any(:ids)")
_SAY_TERMS = text("""
insert into search_terms (clinic_id, term, profile_id, name_key)
select :clinic_id, term, :id, :name_key from unnest(cast(:terms as text[])) as term
""")
_UNSAY_TERMS = text("""
delete from search_terms
where clinic_id = :clinic_id and profile_id = :id and term = any(cast(:terms as text[]))
""")
# A chain ends at the survivor; there are no cycles, the bound is for a damaged table.
_CHAIN = text("""
with recursive chain (id, merged_into, depth) as (
    select id, merged_into, 0 from profiles where clinic_id = :clinic_id and id = :id
    union all
    select next.id, next.merged_into, chain.depth + 1
    from chain join profiles as next on next.clinic_id = :clinic_id and next.id = chain.merged_into
    where chain.depth < 1000
)
select id from chain where depth > 0 order by depth
""")
_HIT = """select profile_id, name_key from search_terms
    where clinic_id = :clinic_id and term >= :low_{n} and term < :high_{n}"""
# Who was merged away is found by the old name, and answered by the one who survives (R5).
_SURVIVORS = """survivors (id) as (
    select id from gone
    union
    select p.merged_into from survivors
    join profiles as p on p.clinic_id = :clinic_id and p.id = survivors.id
    where p.merged_into is not null
),
"""
# `offset 0` keeps the planner to one look by key a profile.
_PAGE_OF_PROFILES = """from page, lateral (
    select * from profiles where clinic_id = :clinic_id and profiles.id = page.id offset 0
) as p
order by p.name_key, p.id
"""
# Many hits are the rule after one letter, so all is done by sets and with the index of the terms
# alone; profiles are read for one page.
_SEARCH = f"""
with recursive hits (id, name_key) as materialized ({{hits}}),
gone (id) as materialized (
    select id from hits
    intersect
    select id from profiles where clinic_id = :clinic_id and merged_into is not null
),
{_SURVIVORS}found (id, name_key) as (
    select id, name_key from hits where id not in (select id from gone)
    union
    select p.id, p.name_key from survivors
    join profiles as p on p.clinic_id = :clinic_id and p.id = survivors.id
    where p.merged_into is null
),
page (id, name_key) as (
    select id, name_key from found
    where (name_key, id) > (:after_name, cast(:after_id as uuid))
    order by name_key, id limit :most
)
select {COLUMNS}
{_PAGE_OF_PROFILES}"""
# For one word, which half a clinic may meet: its hits are not made unique, only as many of them as
# a page may need are put in order. `looked` and `live` tell whether these were enough.
_SEARCH_ONE = f"""
with recursive gone (id) as materialized (
    select id from profiles where clinic_id = :clinic_id and merged_into is not null
    intersect
    select profile_id from ({_HIT.format(n=0)}) as hit
),
{_SURVIVORS}nearest (name_key, id) as materialized (
    select name_key, profile_id from ({_HIT.format(n=0)}) as hit
    where (name_key, profile_id) > (:after_name, cast(:after_id as uuid))
    order by name_key, profile_id limit :look
),
page (name_key, id) as (
    select name_key, id from nearest where id not in (select id from gone)
    union
    select p.name_key, p.id from survivors
    join profiles as p on p.clinic_id = :clinic_id and p.id = survivors.id
    where p.merged_into is null and (p.name_key, p.id) > (:after_name, cast(:after_id as uuid))
    order by name_key, id limit :most
)
select {COLUMNS}, (select count(*) from nearest) as looked,
    (select count(distinct id) from nearest where id not in (select id from gone)) as live
{_PAGE_OF_PROFILES}"""
_ONE_WORD = text(_SEARCH_ONE)
# Which word is the rare one decides how several are met: no plan fits all of them.
_PLAN_ANEW = text("select set_config('plan_cache_mode', 'force_custom_plan', true)")
# How often a name may meet one word, as a rule.
_HITS_EACH = 4
# The same address, or the same folded name and birth date; the more they share the likelier.
_DUPLICATES = text(f"""
select {COLUMNS}, likely.score from profiles as p,
lateral (select cast(p.name_key = :name_key as integer)
    + cast(p.email_key <> '' and p.email_key = :email_key as integer)
    + cast(p.phone_key <> '' and p.phone_key = :phone_key as integer)
    + cast(p.birth_date is not distinct from cast(:birth_date as date)
           and p.birth_date is not null as integer) as score) as likely
where p.clinic_id = :clinic_id and p.id <> :id and p.merged_into is null
  and ((p.email_key <> '' and p.email_key = :email_key)
       or (p.name_key = :name_key and p.birth_date = cast(:birth_date as date)))
  and (-likely.score, p.id) > (-:after_score, cast(:after_id as uuid))
order by likely.score desc, p.id limit :most
""")
BEFORE_ALL = UUID(int=0)
# Where a page ended: a folded name and an id.
NamePlace = tuple[str, UUID]
_MORE_THAN_ALL = 5


@cache
def _of_words(count: int) -> TextClause:
    hits = " intersect ".join(_HIT.format(n=n) for n in range(count))
    return text(_SEARCH.format(hits=hits))


class Profiles:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def get(self, id: UUID) -> Profile | None:
        return await self._one(_GET_PLAIN, id)

    async def lock(self, id: UUID) -> Profile | None:
        """As `get`, and nobody else changes it before the transaction ends."""
        return await self._one(_GET_LOCKED, id)

    async def _one(self, query: TextClause, id: UUID) -> Profile | None:
        found = await self._connection.execute(query, {"clinic_id": self._clinic_id, "id": id})
        row = found.one_or_none()
        return None if row is None else to_profile(row)

    async def many(self, ids: Sequence[UUID]) -> Sequence[Profile]:
        """Those of these that there are."""
        parameters = {"clinic_id": self._clinic_id, "ids": list(ids)}
        rows = await self._connection.execute(_MANY, parameters)
        return [to_profile(row) for row in rows]

    async def create(self, profile: Profile) -> None:
        await self._connection.execute(_CREATE, parameters_of(profile))
        await self._say_terms(profile)

    async def save(self, before: Profile, after: Profile) -> Profile:
        """Save a locked profile under its next version."""
        saved = to_profile((await self._connection.execute(_SAVE, parameters_of(after))).one())
        if _found_by(after) != _found_by(before):
            held = {"id": before.id, "terms": sorted(terms(before.searchable))}
            await self._connection.execute(_UNSAY_TERMS, {"clinic_id": self._clinic_id, **held})
            await self._say_terms(after)
        return saved

    async def _say_terms(self, profile: Profile) -> None:
        row = {
            "clinic_id": profile.clinic_id,
            "id": profile.id,
            "name_key": fold(profile.display_name),
            "terms": sorted(terms(profile.searchable)),
        }
        await self._connection.execute(_SAY_TERMS, row)

    async def chain(self, id: UUID) -> Sequence[UUID]:
        """The profiles that this one leads to by the merges in force; the last one survives."""
        parameters = {"clinic_id": self._clinic_id, "id": id}
        return list((await self._connection.execute(_CHAIN, parameters)).scalars())

    async def search(self, query: str, *, after: NamePlace | None, most: int) -> Sequence[Profile]:
        """Profiles that live, by any part of what `searchable` holds; every word must be met."""
        words = ranges(query)
        if not words:
            return []
        parameters: dict[str, object] = {
            "clinic_id": self._clinic_id,
            "after_name": after[0] if after else "",
            "after_id": after[1] if after else BEFORE_ALL,
            "most": most,
        }
        for n, (low, high) in enumerate(words):
            parameters |= {f"low_{n}": low, f"high_{n}": high}
        if len(words) == 1:
            return await self._search_one(parameters, most)
        await self._connection.execute(_PLAN_ANEW)
        rows = await self._connection.execute(_of_words(len(words)), parameters)
        return [to_profile(row) for row in rows]

    async def _search_one(self, parameters: dict[str, object], most: int) -> Sequence[Profile]:
        look = _HITS_EACH * most
        while True:
            found = await self._connection.execute(_ONE_WORD, parameters | {"look": look})
            rows = found.all()
            if not rows or rows[0].looked < look or rows[0].live >= most:
                return [to_profile(row) for row in rows]
            look *= _HITS_EACH * _HITS_EACH

    async def likely_duplicates(
        self, profile: Profile, *, after: tuple[int, UUID] | None, most: int
    ) -> Sequence[Profile]:
        """Profiles that live and may be the same person, those that share most first.

        `after` is the number of signals and the id of the last one of a page.
        """
        after_score, after_id = after or (_MORE_THAN_ALL, BEFORE_ALL)
        parameters = {
            "clinic_id": self._clinic_id,
            "id": profile.id,
            "birth_date": profile.birth_date,
            "after_score": after_score,
            "after_id": after_id,
            "most": most,
        }
        rows = await self._connection.execute(_DUPLICATES, parameters | _keys(profile))
        return [to_profile(row) for row in rows]


def place_of(profile: Profile) -> NamePlace:
    return (_keys(profile)["name_key"], profile.id)


def _found_by(profile: Profile) -> tuple[str, str]:
    return (profile.searchable, profile.display_name)


def _keys(profile: Profile) -> dict[str, str]:
    """What profiles are sorted and compared by."""
    return {
        "name_key": fold(profile.display_name),
        "email_key": email_key(profile.email),
        "phone_key": phone_key(profile.phone),
    }


def parameters_of(profile: Profile) -> dict[str, object]:
    """The columns of a profile, but its versions."""
    return {
        "clinic_id": profile.clinic_id,
        "id": profile.id,
        "kind": profile.kind,
        "display_name": profile.display_name,
        "preferred_name": profile.preferred_name,
        "email": profile.email,
        "phone": profile.phone,
        "birth_date": profile.birth_date,
        "do_not_email": profile.do_not_email,
        "override": profile.override,
        "merged_into": profile.merged_into,
        "merge_id": profile.merge_id,
        "unmerged_at": profile.unmerged_at,
        "mailable_since": profile.mailable_since,
        "created_at": profile.created_at,
        **_keys(profile),
    }


def to_profile(row: Row[tuple[object, ...]]) -> Profile:
    return Profile(
        clinic_id=row.clinic_id,
        id=row.id,
        kind=ProfileKind(row.kind),
        display_name=row.display_name,
        preferred_name=row.preferred_name,
        email=row.email,
        phone=row.phone,
        birth_date=row.birth_date,
        do_not_email=row.do_not_email,
        override=Override(row.override),
        merged_into=row.merged_into,
        merge_id=row.merge_id,
        unmerged_at=row.unmerged_at,
        mailable_since=row.mailable_since,
        version=row.version,
        details_version=row.details_version,
        created_at=row.created_at,
    )
