"""What this service knows of messages: read up to where, and deleted. Facts come in any order, so
both are kept whether or not the message is known yet."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.messaging_rule import Side
from services.notifications.domain.delivery import Reason
from services.notifications.domain.message import Message

_MARK_READ = text("""
insert into read_positions as held (clinic_id, conversation_id, side, up_to_sequence)
values (:clinic_id, :conversation_id, :side, :up_to_sequence)
on conflict (clinic_id, conversation_id, side) do update
set up_to_sequence = greatest(held.up_to_sequence, excluded.up_to_sequence)
""")
_MARK_DELETED = text("""
insert into deleted_messages (clinic_id, message_id, deleted_at)
values (:clinic_id, :message_id, :deleted_at) on conflict do nothing
""")
_WITHDRAWN = text("""
select asked.message_id, deleted.message_id is not null as is_deleted
from unnest(cast(:message_ids as uuid[]), cast(:conversation_ids as uuid[]),
            cast(:sequences as bigint[])) as asked (message_id, conversation_id, sequence)
left join deleted_messages as deleted
    on deleted.clinic_id = :clinic_id and deleted.message_id = asked.message_id
left join read_positions as read
    on read.clinic_id = :clinic_id and read.conversation_id = asked.conversation_id
   and read.side = :side
where deleted.message_id is not null or read.up_to_sequence >= asked.sequence
""")


class Messages:
    """The caller's clinic's."""

    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def mark_read(self, conversation_id: UUID, side: Side, *, up_to_sequence: int) -> None:
        parameters = {
            "clinic_id": self._clinic_id,
            "conversation_id": conversation_id,
            "side": side,
            "up_to_sequence": up_to_sequence,
        }
        await self._connection.execute(_MARK_READ, parameters)

    async def mark_deleted(self, message_id: UUID, *, at: datetime) -> None:
        parameters = {"clinic_id": self._clinic_id, "message_id": message_id, "deleted_at": at}
        await self._connection.execute(_MARK_DELETED, parameters)

    async def withdrawn(self, side: Side, messages: Sequence[Message]) -> Mapping[UUID, Reason]:
        """Those that this side need not be told of any more, by id, and why."""
        parameters = {
            "clinic_id": self._clinic_id,
            "side": side,
            "message_ids": [message.id for message in messages],
            "conversation_ids": [message.conversation_id for message in messages],
            "sequences": [message.sequence for message in messages],
        }
        rows = await self._connection.execute(_WITHDRAWN, parameters)
        return {row.message_id: Reason.DELETED if row.is_deleted else Reason.READ for row in rows}
