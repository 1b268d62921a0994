"""Threads: one row each, read with their people; every query in the caller's clinic."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.conversations.domain.conversation import Conversation
from services.conversations.domain.inbox import Entry, Filter, Unread
from services.conversations.domain.people import People
from services.conversations.storage.messages import PREVIEW_COLUMNS, PREVIEW_JOIN, Messages
from services.conversations.storage.people import PEOPLE_COLUMNS, PEOPLE_JOINS, to_people
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
select {COLUMNS}, {PEOPLE_COLUMNS}, {PREVIEW_COLUMNS}
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
_AFTER = " and (c.last_activity_at, c.id) < (:after_at, :after_id)"
_NAMED = """ and exists (select 1 from search_terms as term
    where term.clinic_id = c.clinic_id and term.person_id = c.{other}_id
      and term.term >= :low_{n} and term.term < :high_{n})"""
_ORDER = " order by c.last_activity_at desc, c.id desc limit :most"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last entry of a page: the next one begins after it."""

    last_activity_at: datetime
    id: UUID


class Conversations:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID, messages: Messages) -> None:
        self._connection = connection
        self._clinic_id = clinic_id
        self._messages = messages

    async def get(
        self, id: UUID, *, lock: bool = False
    ) -> tuple[Conversation, People | None] | None:
        """The thread and what the replica holds of its people; None where there is no thread."""
        query = _GET_LOCKED if lock else _GET_PLAIN
        found = await self._connection.execute(query, {"clinic_id": self._clinic_id, "id": id})
        row = found.one_or_none()
        return None if row is None else (to_conversation(row), to_people(row))

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
        parameters = {"clinic_id": self._clinic_id, "person_id": person_id}
        row = (await self._connection.execute(_UNREAD[side], parameters)).one()
        return Unread(row.messages, row.conversations)

    async def entry(self, id: UUID) -> Entry:
        """The inbox entry of a thread that is known to be there."""
        parameters = {"clinic_id": self._clinic_id, "id": id}
        row = (await self._connection.execute(_ENTRY_BY_ID, parameters)).one()
        return await self._to_entry(row)

    async def page(
        self,
        side: Side,
        person_id: UUID,
        *,
        filter: Filter,
        terms: Sequence[tuple[str, str]],
        after: Cursor | None,
        most: int,
    ) -> Sequence[Entry]:
        """The caller's own threads, the latest first; `terms` are ranges of the other's name."""
        query = _ENTRY + _OWN[side] + _FILTERS[filter][side]
        parameters: dict[str, object] = {
            "clinic_id": self._clinic_id,
            "person_id": person_id,
            "most": most,
        }
        for n, (low, high) in enumerate(terms):
            query += _NAMED.format(other=side.other, n=n)
            parameters |= {f"low_{n}": low, f"high_{n}": high}
        if after is not None:
            query += _AFTER
            parameters |= {"after_at": after.last_activity_at, "after_id": after.id}
        rows = await self._connection.execute(text(query + _ORDER), parameters)
        return [await self._to_entry(row) for row in rows]

    async def _to_entry(self, row: Row[tuple[object, ...]]) -> Entry:
        people = to_people(row)
        assert people is not None
        preview = None
        if row.preview_id is not None:
            preview = await self._messages.to_preview(row)
        return Entry(
            conversation=to_conversation(row),
            people=people,
            staff_name=row.staff_name,
            profile_name=row.profile_name,
            last_message=preview,
        )


def to_conversation(row: Row[tuple[object, ...]] | SimpleNamespace) -> Conversation:
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
