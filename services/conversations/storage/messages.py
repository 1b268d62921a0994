"""Messages and tombstones, with the time the other side first read them."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.identity import Caller
from services.chassis.line import AnyRow, Statement
from services.conversations.domain.conversation import Conversation
from services.conversations.domain.message import Message
from services.conversations.domain.writing import side_of
from services.conversations.storage.texts import Place, Texts
from services.messaging_rule import Side


def read_at(further: str = "") -> str:
    """SQL: the first mark of the other side that covers a message is its read time."""
    return f"""(
    select read_at from read_marks as mark
    where mark.clinic_id = m.clinic_id and mark.conversation_id = m.conversation_id
      and mark.side <> m.sender_side and mark.up_to_sequence >= m.sequence {further}
    order by mark.up_to_sequence limit 1)"""


MESSAGE_COLUMNS = """m.id, m.clinic_id, m.conversation_id, m.sequence, m.sender_side,
    m.ciphertext, m.key_version, m.sent_at, m.deleted_at"""
_COLUMNS = f"{MESSAGE_COLUMNS}, {read_at()} as read_at"
PREVIEW_COLUMNS = f"""m.id as preview_id, m.sender_side, m.ciphertext, m.key_version, m.sent_at,
    m.deleted_at, {read_at()} as read_at"""
PREVIEW_JOIN = """
left join messages as m on m.clinic_id = c.clinic_id and m.conversation_id = c.id
    and m.sequence = c.last_sequence
"""
_GET = text(f"""
select {_COLUMNS} from messages as m
where m.clinic_id = :clinic_id and m.conversation_id = :id and m.sequence = :sequence
""")
_OF_PARTICIPANT = """
from messages as m
where m.clinic_id = :clinic_id and m.conversation_id = :id and exists (
    select from conversations as c
    where c.clinic_id = :clinic_id and c.id = :id and c.{side}_id = :person_id)
"""
_ONE_OF = {
    side: text(f"select {_COLUMNS} {_OF_PARTICIPANT.format(side=side)} and m.sequence = :sequence")
    for side in Side
}
_OLDEST_FIRST, _NEWEST_FIRST = (
    {
        side: text(
            f"select {_COLUMNS} {_OF_PARTICIPANT.format(side=side)}"
            f" and m.sequence {beyond} :beyond order by m.sequence {order} limit :most"
        )
        for side in Side
    }
    for beyond, order in ((">", "asc"), ("<", "desc"))
)
_ERASE = text("""
update messages set ciphertext = null, fingerprint = null, deleted_at = clock_timestamp()
where clinic_id = :clinic_id and conversation_id = :id and sequence = :sequence
""")
_END = 2**63 - 1


class Messages:
    """The messages of threads that the caller was let through to."""

    def __init__(self, connection: AsyncConnection, texts: Texts) -> None:
        self._connection = connection
        self._texts = texts

    async def get(self, conversation: Conversation, sequence: int) -> Message | None:
        parameters = _key(conversation) | {"sequence": sequence}
        row = (await self._connection.execute(_GET, parameters)).one_or_none()
        return None if row is None else await to_message(row, self._texts)

    async def erase(self, conversation: Conversation, sequence: int) -> Message:
        """Remove text and fingerprint for good; the tombstone stays (R29, R30)."""
        await self._connection.execute(_ERASE, _key(conversation) | {"sequence": sequence})
        tombstone = await self.get(conversation, sequence)
        assert tombstone is not None
        return tombstone


def page_for(
    caller: Caller, conversation_id: UUID, *, newest_first: bool, beyond: int | None, most: int
) -> Statement:
    """A participant's messages from one end on, those beyond a sequence only; in that order."""
    queries, first = (_NEWEST_FIRST, _END) if newest_first else (_OLDEST_FIRST, 0)
    start = first if beyond is None else beyond
    return queries[side_of(caller)], {
        "clinic_id": caller.clinic,
        "id": conversation_id,
        "person_id": caller.person,
        "beyond": start,
        "most": most,
    }


def message_for(caller: Caller, conversation_id: UUID, sequence: int) -> Statement:
    """One message of a thread, to a participant."""
    return _ONE_OF[side_of(caller)], {
        "clinic_id": caller.clinic,
        "id": conversation_id,
        "person_id": caller.person,
        "sequence": sequence,
    }


async def to_message(row: AnyRow, texts: Texts) -> Message:
    return await _opened(row, texts, row.id, row.conversation_id, row.sequence)


async def to_preview(row: AnyRow, texts: Texts) -> Message:
    """The message of an inbox row: the same columns, the thread's own id and sequence."""
    return await _opened(row, texts, row.preview_id, row.id, row.last_sequence)


async def _opened(
    row: AnyRow, texts: Texts, id: UUID, conversation_id: UUID, sequence: int
) -> Message:
    place, body = Place(row.clinic_id, conversation_id, sequence, Side(row.sender_side)), None
    if row.ciphertext is not None:
        body = await texts.open(place, key_version=row.key_version, sealed=bytes(row.ciphertext))
    return Message(
        id=id,
        clinic_id=place.clinic_id,
        conversation_id=place.conversation_id,
        sequence=place.sequence,
        sender_side=place.sender_side,
        body=body,
        sent_at=row.sent_at,
        deleted_at=row.deleted_at,
        read_at=row.read_at,
    )


def _key(conversation: Conversation) -> dict[str, object]:
    return {"clinic_id": conversation.clinic_id, "id": conversation.id}
