"""Reading threads for export: by staff member, up to a cut-off, whatever archives them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.conversations.domain.export import ArchivePeriod, ExportedThread
from services.conversations.domain.message import Message
from services.conversations.domain.people import Cause
from services.conversations.storage.messages import MESSAGE_COLUMNS, read_at, to_message
from services.conversations.storage.texts import Texts

_THREADS = text("""
select clinic_id, id, staff_id, profile_id, created_at from conversations
where clinic_id = :clinic_id and staff_id = :staff_id and id > :after_id
  and created_at <= :cutoff
order by id limit :most
""")
_PERIODS = text("""
select cause, cause_id, archived_at,
    case when unarchived_at <= :cutoff then unarchived_at end as unarchived_at
from archivals
where clinic_id = :clinic_id and conversation_id = :id and archived_at <= :cutoff
order by archived_at, cause_id
""")
_MESSAGES = text(f"""
select {MESSAGE_COLUMNS}, {read_at("and mark.read_at <= :cutoff")} as read_at
from messages as m
where m.clinic_id = :clinic_id and m.conversation_id = :id and m.sequence > :after
  and m.sent_at <= :cutoff
order by m.sequence limit :most
""")


class Exports:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID, texts: Texts) -> None:
        self._connection = connection
        self._clinic_id = clinic_id
        self._texts = texts

    async def threads(
        self, staff_id: UUID, *, after_id: UUID, cutoff: datetime, most: int
    ) -> Sequence[ExportedThread]:
        """In the order of ids."""
        rows = await self._connection.execute(
            _THREADS,
            {
                "clinic_id": self._clinic_id,
                "staff_id": staff_id,
                "after_id": after_id,
                "cutoff": cutoff,
                "most": most,
            },
        )
        return [
            ExportedThread(
                clinic_id=row.clinic_id,
                id=row.id,
                staff_id=row.staff_id,
                profile_id=row.profile_id,
                created_at=row.created_at,
                archive_periods=await self._periods(row.id, cutoff),
            )
            for row in rows.all()
        ]

    async def _periods(self, id: UUID, cutoff: datetime) -> tuple[ArchivePeriod, ...]:
        parameters = {"clinic_id": self._clinic_id, "id": id, "cutoff": cutoff}
        rows = await self._connection.execute(_PERIODS, parameters)
        return tuple(
            ArchivePeriod(Cause(row.cause), row.cause_id, row.archived_at, row.unarchived_at)
            for row in rows
        )

    async def messages(
        self, thread: ExportedThread, *, after: int, cutoff: datetime, most: int
    ) -> Sequence[Message]:
        """Messages and tombstones in order, with the receipts given by the cut-off."""
        rows = await self._connection.execute(
            _MESSAGES,
            {
                "clinic_id": self._clinic_id,
                "id": thread.id,
                "after": after,
                "cutoff": cutoff,
                "most": most,
            },
        )
        return [await to_message(row, self._texts) for row in rows.all()]
