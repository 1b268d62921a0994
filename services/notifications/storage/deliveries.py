"""The ledger: one row for each message, recipient and channel."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.messaging_rule import Side
from services.notifications.domain.delivery import (
    Channel,
    Delivery,
    Dispatch,
    Reason,
    Recipient,
    State,
)
from services.notifications.domain.message import Message

_COLUMNS = """id, clinic_id, message_id, conversation_id, sequence, recipient_side, recipient_id,
    channel, state, reason, message_sent_at, decided_at, due_at, sent_at, dispatch_id, attempts,
    claim_id, leased_until, resent, version"""

# Two at once: the row of the first stands.
_ADD = text(f"""
insert into deliveries ({_COLUMNS})
select {_COLUMNS} from jsonb_populate_record(null::deliveries, cast(:row as jsonb))
on conflict on constraint deliveries_clinic_id_message_id_recipient_id_channel_key do nothing
returning 1
""")
_SAVE = text("""
update deliveries as held
set state = new.state, reason = new.reason, decided_at = new.decided_at,
    due_at = new.due_at, sent_at = new.sent_at, dispatch_id = new.dispatch_id,
    attempts = new.attempts, claim_id = new.claim_id, leased_until = new.leased_until,
    resent = new.resent, version = new.version
from jsonb_populate_recordset(null::deliveries, cast(:rows as jsonb)) as new
where held.clinic_id = :clinic_id and held.id = new.id
""")
_GET = text(f"select {_COLUMNS} from deliveries where clinic_id = :clinic_id and id = :id")
# A dispatch that may have reached the provider already takes nothing further in.
_OPEN_DISPATCH = text("""
select dispatch_id, due_at from deliveries
where clinic_id = :clinic_id and recipient_id = :recipient_id
  and conversation_id = :conversation_id and channel = :channel
  and state = 'HELD' and not resent
order by due_at limit 1
""")
_OF_DISPATCH = text(f"""
select {_COLUMNS} from deliveries
where clinic_id = :clinic_id and dispatch_id = :dispatch_id
  and state in ('HELD', 'CLAIMED', 'TRANSMITTING')
order by id
""")
_WAITING_OF_MESSAGE = text(f"""
select {_COLUMNS} from deliveries
where clinic_id = :clinic_id and message_id = :message_id and recipient_id = :recipient_id
  and state in ('HELD', 'CLAIMED')
""")
_WAITING_OF_THREAD = text(f"""
select {_COLUMNS} from deliveries
where clinic_id = :clinic_id and recipient_id = :recipient_id
  and conversation_id = :conversation_id and sequence <= :up_to_sequence
  and state in ('HELD', 'CLAIMED')
""")
_HELD_FOR = text(f"""
select {_COLUMNS} from deliveries
where clinic_id = :clinic_id and recipient_id = :recipient_id and state = 'HELD'
""")
_SIGNED_IN = text(f"""
select {_COLUMNS} from deliveries
where clinic_id = :clinic_id and recipient_id = :recipient_id
  and reason = 'SIGNED_IN' and message_sent_at >= :since
order by message_sent_at, id limit :most
""")
_PAGE = f"""
select {_COLUMNS} from deliveries
where clinic_id = :clinic_id
  and (cast(:sequence as bigint) is null or sequence = :sequence)
  and (cast(:after_at as timestamptz) is null or (decided_at, id) < (:after_at, :after_id))
"""
_PAGE_END = " order by decided_at desc, id desc limit :most"
_BY_CONVERSATION = " and conversation_id = :conversation_id"
_BY_RECIPIENT = " and recipient_id = :recipient_id"
_PAGES = {
    (True, False): text(_PAGE + _BY_CONVERSATION + _PAGE_END),
    (False, True): text(_PAGE + _BY_RECIPIENT + _PAGE_END),
    (True, True): text(_PAGE + _BY_CONVERSATION + _BY_RECIPIENT + _PAGE_END),
}
# Far more than one absence brings together; what lies beyond stays as it is.
_MOST_SIGNED_IN = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which deliveries to list: of a conversation, to a recipient, or both; never of neither."""

    conversation_id: UUID | None
    sequence: int | None
    recipient_id: UUID | None


class Deliveries:
    """The caller's clinic's rows. Whoever moves one holds the lock of its recipient."""

    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def add(self, delivery: Delivery) -> bool:
        """False where this message, recipient and channel has its row already."""
        added = await self._connection.execute(_ADD, {"row": json.dumps(_row(delivery))})
        return added.scalar_one_or_none() is not None

    async def save(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            rows = json.dumps([_row(delivery) for delivery in deliveries])
            await self._connection.execute(_SAVE, {"clinic_id": self._clinic_id, "rows": rows})

    async def get(self, id: UUID) -> Delivery | None:
        parameters = {"clinic_id": self._clinic_id, "id": id}
        row = (await self._connection.execute(_GET, parameters)).one_or_none()
        return None if row is None else _to_delivery(row)

    async def open_dispatch(
        self, recipient: Recipient, conversation_id: UUID, channel: Channel
    ) -> Dispatch | None:
        """The dispatch of this thread that still waits, which a further message joins (I42)."""
        parameters = {
            "clinic_id": self._clinic_id,
            "recipient_id": recipient.id,
            "conversation_id": conversation_id,
            "channel": channel,
        }
        row = (await self._connection.execute(_OPEN_DISPATCH, parameters)).one_or_none()
        return None if row is None else Dispatch(row.dispatch_id, row.due_at)

    async def of_dispatch(self, dispatch_id: UUID) -> list[Delivery]:
        """Those of one mail that are not settled."""
        parameters = {"clinic_id": self._clinic_id, "dispatch_id": dispatch_id}
        return _to_deliveries(await self._connection.execute(_OF_DISPATCH, parameters))

    async def waiting_of_message(self, recipient: Recipient, message_id: UUID) -> list[Delivery]:
        """What can still be called off of one message."""
        parameters = {
            "clinic_id": self._clinic_id,
            "recipient_id": recipient.id,
            "message_id": message_id,
        }
        return _to_deliveries(await self._connection.execute(_WAITING_OF_MESSAGE, parameters))

    async def waiting_of_thread(
        self, recipient: Recipient, conversation_id: UUID, *, up_to_sequence: int
    ) -> list[Delivery]:
        """What can still be called off of a thread's messages up to this one."""
        parameters = {
            "clinic_id": self._clinic_id,
            "recipient_id": recipient.id,
            "conversation_id": conversation_id,
            "up_to_sequence": up_to_sequence,
        }
        return _to_deliveries(await self._connection.execute(_WAITING_OF_THREAD, parameters))

    async def held_for(self, recipient: Recipient) -> list[Delivery]:
        parameters = {"clinic_id": self._clinic_id, "recipient_id": recipient.id}
        return _to_deliveries(await self._connection.execute(_HELD_FOR, parameters))

    async def signed_in_since(self, recipient: Recipient, since: datetime) -> list[Delivery]:
        """Not mailed because of a session, of messages from this time on."""
        parameters = {
            "clinic_id": self._clinic_id,
            "recipient_id": recipient.id,
            "since": since,
            "most": _MOST_SIGNED_IN,
        }
        return _to_deliveries(await self._connection.execute(_SIGNED_IN, parameters))

    async def page(
        self, selection: Selection, *, after: tuple[datetime, UUID] | None, most: int
    ) -> list[Delivery]:
        """The latest decision first."""
        after_at, after_id = after or (None, None)
        parameters = {
            "clinic_id": self._clinic_id,
            "conversation_id": selection.conversation_id,
            "recipient_id": selection.recipient_id,
            "sequence": selection.sequence,
            "after_at": after_at,
            "after_id": after_id,
            "most": most,
        }
        by = (selection.conversation_id is not None, selection.recipient_id is not None)
        return _to_deliveries(await self._connection.execute(_PAGES[by], parameters))


def _to_deliveries(rows: Iterable[Row[tuple[object, ...]]]) -> list[Delivery]:
    return [_to_delivery(row) for row in rows]


def _to_delivery(row: Row[tuple[object, ...]]) -> Delivery:
    return Delivery(
        id=row.id,
        clinic_id=row.clinic_id,
        message=Message(
            id=row.message_id,
            conversation_id=row.conversation_id,
            sequence=row.sequence,
            sent_at=row.message_sent_at,
        ),
        recipient=Recipient(Side(row.recipient_side), row.recipient_id),
        channel=Channel(row.channel),
        state=State(row.state),
        reason=None if row.reason is None else Reason(row.reason),
        decided_at=row.decided_at,
        due_at=row.due_at,
        sent_at=row.sent_at,
        dispatch_id=row.dispatch_id,
        attempts=row.attempts,
        claim_id=row.claim_id,
        leased_until=row.leased_until,
        resent=row.resent,
        version=row.version,
    )


def _row(delivery: Delivery) -> dict[str, object]:
    """The columns of a delivery, in forms that jsonb_populate_record reads."""
    row: dict[str, object] = {
        "message_id": delivery.message.id,
        "conversation_id": delivery.message.conversation_id,
        "sequence": delivery.message.sequence,
        "message_sent_at": delivery.message.sent_at,
        "recipient_side": delivery.recipient.side,
        "recipient_id": delivery.recipient.id,
    }
    for name in Delivery.__dataclass_fields__.keys() - {"message", "recipient"}:
        row[name] = getattr(delivery, name)
    return {name: _json_value(value) for name, value in row.items()}


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
