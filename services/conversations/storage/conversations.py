"""Threads: one row each, read with their people; every query in the caller's clinic."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.identity import Caller
from services.chassis.line import AnyRow, Statement
from services.conversations.domain.conversation import Conversation
from services.conversations.domain.inbox import Entry, Filter, Unread
from services.conversations.domain.people import People
from services.conversations.domain.writing import side_of
from services.conversations.storage.messages import PREVIEW_COLUMNS, PREVIEW_JOIN, to_preview
from services.conversations.storage.people import (
    PEOPLE_COLUMNS,
    PEOPLE_JOINS,
    survivor_of,
    to_people,
)
from services.conversations.storage.texts import Texts
from services.messaging_rule import Side

COLUMNS = """c.clinic_id, c.id, c.staff_id, c.profile_id, c.created_at, c.last_sequence,
    c.staff_unread, c.profile_unread, c.staff_read_sequence, c.profile_read_sequence,
    c.last_activity_at"""

_GET = f"""
select {COLUMNS}, {PEOPLE_COLUMNS} from conversations as c {PEOPLE_JOINS}
where c.clinic_id = :clinic_id and c.id = :id
"""
_GET_PLAIN = text(_GET)
_GET_LOCKED = text(_GET + " for update of c")
_GET_THEIRS = {side: text(f"{_GET} and c.{side}_id = :person_id") for side in Side}
_ID_OF_PAIR = text("""
select id from conversations
where clinic_id = :clinic_id and staff_id = :staff_id and profile_id = :profile_id
""")
_CREATE = text("""
insert into conversations (clinic_id, id, staff_id, profile_id, created_at, last_activity_at)
values (:clinic_id, :id, :staff_id, :profile_id, :now, :now)
""")
_LOWER_UNREAD = {
    Side.STAFF: text("""
        update conversations set staff_unread = staff_unread - 1
        where clinic_id = :clinic_id and id = :id
    """),
    Side.PROFILE: text("""
        update conversations set profile_unread = profile_unread - 1
        where clinic_id = :clinic_id and id = :id
    """),
}
# What a merged-away patient cannot reach does not count (I10).
_UNREAD = {
    Side.STAFF: text("""
        select coalesce(sum(staff_unread), 0) as messages, count(*) as conversations
        from conversations
        where clinic_id = :clinic_id and staff_id = :person_id and staff_unread > 0
    """),
    Side.PROFILE: text("""
        select coalesce(sum(profile_unread), 0) as messages, count(*) as conversations
        from conversations
        where clinic_id = :clinic_id and profile_id = :person_id and profile_unread > 0
          and not exists (select 1 from replica_profiles as profile
                          where profile.clinic_id = :clinic_id and profile_id = :person_id
                            and profile.merge_id is not null)
    """),
}
_ENTRY = f"""
select {COLUMNS}, {PEOPLE_COLUMNS}, {PREVIEW_COLUMNS},
    case when profile.merge_id is not null
         then {survivor_of("c.clinic_id", "c.profile_id")} end as survivor_id
from conversations as c {PEOPLE_JOINS} {PREVIEW_JOIN}
where c.clinic_id = :clinic_id
"""
_ENTRY_BY_ID = text(_ENTRY + " and c.id = :id")
_OWN = {
    Side.STAFF: " and c.staff_id = :person_id",
    Side.PROFILE: " and c.profile_id = :person_id and c.last_sequence > 0"
    " and profile.merge_id is null",
}
_FILTERS = {
    Filter.ALL: {side: "" for side in Side},
    Filter.UNREAD: {side: f" and c.{side}_unread > 0" for side in Side},
    Filter.ARCHIVED: {
        side: " and (profile.merge_id is not null or staff.deactivation_id is not null)"
        for side in Side
    },
}
# Every range holds a term of the other person's name.
_NAMED = """
and not exists (
    select from unnest(cast(:lows as text[]), cast(:highs as text[])) as sought (low, high)
    where not exists (
        select from search_terms as term
        where term.clinic_id = c.clinic_id and term.person_id = c.{other}_id
          and term.term >= sought.low collate "C" and term.term < sought.high collate "C"))
"""
_PAGE = {
    (side, filter): text(
        _ENTRY
        + _OWN[side]
        + _FILTERS[filter][side]
        + _NAMED.format(other=side.other)
        + " and (c.last_activity_at, c.id) < (:after_at, :after_id)"
        " order by c.last_activity_at desc, c.id desc limit :most"
    )
    for side in Side
    for filter in Filter
}
_NEWEST = ("infinity", UUID(int=2**128 - 1))


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last entry of a page: the next one begins after it."""

    last_activity_at: datetime
    id: UUID


class Conversations:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID, texts: Texts) -> None:
        self._connection = connection
        self._clinic_id = clinic_id
        self._texts = texts

    async def get(
        self, id: UUID, *, lock: bool = False
    ) -> tuple[Conversation, People | None] | None:
        """The thread and what the replica holds of its people; None where there is no thread."""
        query = _GET_LOCKED if lock else _GET_PLAIN
        found = await self._connection.execute(query, {"clinic_id": self._clinic_id, "id": id})
        row = found.one_or_none()
        return None if row is None else to_thread(row)

    async def id_of_pair(self, staff_id: UUID, profile_id: UUID) -> UUID | None:
        found = await self._connection.execute(
            _ID_OF_PAIR,
            {"clinic_id": self._clinic_id, "staff_id": staff_id, "profile_id": profile_id},
        )
        id: UUID | None = found.scalar_one_or_none()
        return id

    async def create(self, id: UUID, staff_id: UUID, profile_id: UUID, *, now: datetime) -> None:
        """The pair's one thread (R4); who loses a race for it is run again, and finds it."""
        await self._connection.execute(
            _CREATE,
            {
                "clinic_id": self._clinic_id,
                "id": id,
                "staff_id": staff_id,
                "profile_id": profile_id,
                "now": now,
            },
        )

    async def lower_unread(self, id: UUID, side: Side) -> None:
        """An unread message of the other side was deleted (I22)."""
        parameters = {"clinic_id": self._clinic_id, "id": id}
        await self._connection.execute(_LOWER_UNREAD[side], parameters)

    async def unread(self, side: Side, person_id: UUID) -> Unread:
        found = await self._connection.execute(*unread_of(self._clinic_id, side, person_id))
        return to_unread(found.one())

    async def entry(self, id: UUID) -> Entry:
        """The inbox entry of a thread that is known to be there."""
        parameters = {"clinic_id": self._clinic_id, "id": id}
        row = (await self._connection.execute(_ENTRY_BY_ID, parameters)).one()
        return await to_entry(row, self._texts)


def thread_for(caller: Caller, id: UUID) -> Statement:
    """A participant's thread, with what the replica holds of its people."""
    parameters = {"clinic_id": caller.clinic, "id": id, "person_id": caller.person}
    return _GET_THEIRS[side_of(caller)], parameters


def unread_of(clinic_id: UUID, side: Side, person_id: UUID) -> Statement:
    """A person's badge, and the threads it is made of."""
    return _UNREAD[side], {"clinic_id": clinic_id, "person_id": person_id}


def page_for(
    caller: Caller,
    *,
    filter: Filter,
    terms: Sequence[tuple[str, str]],
    after: Cursor | None,
    most: int,
) -> Statement:
    """The caller's own threads, the latest first; `terms` are ranges of the other's name."""
    at, id = _NEWEST if after is None else (after.last_activity_at, after.id)
    return _PAGE[side_of(caller), filter], {
        "clinic_id": caller.clinic,
        "person_id": caller.person,
        "lows": [low for low, _ in terms],
        "highs": [high for _, high in terms],
        "after_at": at,
        "after_id": id,
        "most": most,
    }


def to_thread(row: AnyRow) -> tuple[Conversation, People | None]:
    return to_conversation(row), to_people(row)


def to_unread(row: AnyRow) -> Unread:
    return Unread(row.messages, row.conversations)


async def to_entry(row: AnyRow, texts: Texts) -> Entry:
    people = to_people(row)
    assert people is not None
    return Entry(
        conversation=to_conversation(row),
        people=people,
        staff_name=row.staff_name,
        profile_name=row.profile_name,
        last_message=None if row.preview_id is None else await to_preview(row, texts),
        survivor_id=row.survivor_id,
    )


def to_conversation(row: AnyRow) -> Conversation:
    return Conversation(
        clinic_id=row.clinic_id,
        id=row.id,
        staff_id=row.staff_id,
        profile_id=row.profile_id,
        created_at=row.created_at,
        last_sequence=row.last_sequence,
        staff_unread=row.staff_unread,
        profile_unread=row.profile_unread,
        staff_read_sequence=row.staff_read_sequence,
        profile_read_sequence=row.profile_read_sequence,
        last_activity_at=row.last_activity_at,
    )
