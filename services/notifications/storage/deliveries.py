"""The ledger as one clinic's callers see it: one row for each message, recipient and channel."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.chassis.line import AnyRow, Connection
from services.messaging_rule import Side
from services.notifications.domain.delivery import (
    Channel,
    Delivery,
    Reason,
    Recipient,
    State,
)
from services.notifications.domain.feedback import Feedback
from services.notifications.domain.message import Message

COLUMNS = """id, clinic_id, message_id, conversation_id, sequence, recipient_side, recipient_id,
    channel, state, reason, message_sent_at, decided_at, due_at, sent_at, dispatch_id, attempts,
    claim_id, leased_until, resent, address_print, feedback, version"""

_GET = text(f"select {COLUMNS} from deliveries where clinic_id = :clinic_id and id = :id")
_HANDED_OVER = text(f"""
select {COLUMNS} from deliveries
where clinic_id = :clinic_id and dispatch_id = :dispatch_id
  and state in ('TRANSMITTING', 'SENT', 'UNKNOWN')
order by id
""")
_PAGE = f"""
select {COLUMNS} from deliveries
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which deliveries to list: of a conversation, to a recipient, or both; never of neither."""

    conversation_id: UUID | None
    sequence: int | None
    recipient_id: UUID | None


class Deliveries:
    """The caller's clinic's rows, to be read; `Ledger` writes them."""

    def __init__(self, connection: Connection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def get(self, id: UUID) -> Delivery | None:
        parameters = {"clinic_id": self._clinic_id, "id": id}
        row = (await self._connection.execute(_GET, parameters)).one_or_none()
        return None if row is None else _to_delivery(row)

    async def handed_over(self, dispatch_id: UUID) -> list[Delivery]:
        """Those of a dispatch that its provider has, or may have."""
        parameters = {"clinic_id": self._clinic_id, "dispatch_id": dispatch_id}
        return to_deliveries(await self._connection.execute(_HANDED_OVER, parameters))

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
        return to_deliveries(await self._connection.execute(_PAGES[by], parameters))


def to_deliveries(rows: Iterable[AnyRow]) -> list[Delivery]:
    return [_to_delivery(row) for row in rows]


def _to_delivery(row: AnyRow) -> Delivery:
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
        address_print=None if row.address_print is None else bytes(row.address_print),
        feedback=None if row.feedback is None else Feedback(row.feedback),
        version=row.version,
    )


def to_row(delivery: Delivery) -> dict[str, object]:
    """The columns of a delivery."""
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
    return row
