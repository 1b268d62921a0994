"""What this service knows of messages: read up to where, and deleted. Facts come in any order, so
both are kept whether or not the message is known yet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from services.chassis.line import Connection
from services.messaging_rule import Side
from services.notifications.domain.delivery import Reason
from services.notifications.domain.fact import ConversationRead, MessageDeleted
from services.notifications.domain.message import Message

# A batch may tell of one thread more than once.
_MARK_READ = text("""
insert into read_positions as held (clinic_id, conversation_id, side, up_to_sequence)
select clinic_id, conversation_id, side, max(up_to_sequence)
from unnest(cast(:clinics as uuid[]), cast(:conversations as uuid[]), cast(:sides as text[]),
            cast(:sequences as bigint[])) as told (clinic_id, conversation_id, side, up_to_sequence)
group by clinic_id, conversation_id, side
on conflict (clinic_id, conversation_id, side) do update
set up_to_sequence = greatest(held.up_to_sequence, excluded.up_to_sequence)
""")
_MARK_DELETED = text("""
insert into deleted_messages (clinic_id, message_id, deleted_at)
select * from unnest(cast(:clinics as uuid[]), cast(:messages as uuid[]),
                     cast(:times as timestamptz[]))
on conflict do nothing
""")
_WITHDRAWN = text("""
select asked.clinic_id, asked.message_id, deleted.message_id is not null as is_deleted
from unnest(cast(:clinics as uuid[]), cast(:sides as text[]), cast(:message_ids as uuid[]),
            cast(:conversation_ids as uuid[]), cast(:sequences as bigint[]))
    as asked (clinic_id, side, message_id, conversation_id, sequence)
left join deleted_messages as deleted
    on deleted.clinic_id = asked.clinic_id and deleted.message_id = asked.message_id
left join read_positions as read
    on read.clinic_id = asked.clinic_id and read.conversation_id = asked.conversation_id
   and read.side = asked.side
where deleted.message_id is not null or read.up_to_sequence >= asked.sequence
""")


@dataclass(frozen=True, slots=True)
class Told:
    """A message of a clinic, and the side that is to be told of it."""

    clinic_id: UUID
    side: Side
    message: Message


class Messages:
    """Of any clinics of the transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def mark_read(self, facts: Sequence[ConversationRead]) -> None:
        if not facts:
            return
        parameters = {
            "clinics": [fact.clinic_id for fact in facts],
            "conversations": [fact.conversation_id for fact in facts],
            "sides": [fact.recipient.side for fact in facts],
            "sequences": [fact.up_to_sequence for fact in facts],
        }
        await self._connection.execute(_MARK_READ, parameters)

    async def mark_deleted(self, facts: Sequence[MessageDeleted]) -> None:
        if not facts:
            return
        parameters = {
            "clinics": [fact.clinic_id for fact in facts],
            "messages": [fact.message_id for fact in facts],
            "times": [fact.deleted_at for fact in facts],
        }
        await self._connection.execute(_MARK_DELETED, parameters)

    async def withdrawn(self, asked: Iterable[Told]) -> Mapping[tuple[UUID, UUID], Reason]:
        """Those that their side need not be told of any more, by clinic and id, and why."""
        told = list(asked)
        if not told:
            return {}
        parameters = {
            "clinics": [each.clinic_id for each in told],
            "sides": [each.side for each in told],
            "message_ids": [each.message.id for each in told],
            "conversation_ids": [each.message.conversation_id for each in told],
            "sequences": [each.message.sequence for each in told],
        }
        rows = await self._connection.execute(_WITHDRAWN, parameters)
        return {
            (row.clinic_id, row.message_id): Reason.DELETED if row.is_deleted else Reason.READ
            for row in rows
        }
