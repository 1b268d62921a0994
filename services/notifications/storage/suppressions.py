"""Addresses that do not work, as keyed hashes beside the recipient: no address is stored (I40)."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.chassis.ids import uuid7
from services.chassis.line import AnyRow, Connection
from services.messaging_rule import Side
from services.notifications.domain.delivery import Recipient
from services.notifications.domain.suppression import Suppression, SuppressionReason

_COLUMNS = "id, recipient_side, recipient_id, reason, created_at, lifted_at"
# One that is in force already stands, with the reason it came for.
_ADD = text("""
insert into suppressions
    (clinic_id, id, recipient_side, recipient_id, address_print, reason, created_at)
values (:clinic_id, :id, :recipient_side, :recipient_id, :address_print, :reason, :now)
on conflict (clinic_id, recipient_id, address_print) where lifted_at is null do nothing
""")
_OF = text("""
select address_print from suppressions
where clinic_id = :clinic_id and recipient_id = :recipient_id and lifted_at is null
""")
_GET = text(
    f"select {_COLUMNS} from suppressions where clinic_id = :clinic_id and id = :id for update"
)
_LIFT = text("""
update suppressions set lifted_at = :now
where clinic_id = :clinic_id and id = :id and lifted_at is null
""")
_PAGE = f"""
select {_COLUMNS} from suppressions
where clinic_id = :clinic_id
  and (:include_lifted or lifted_at is null)
  and (cast(:after_at as timestamptz) is null or (created_at, id) < (:after_at, :after_id))
"""
_PAGE_END = " order by created_at desc, id desc limit :most"
_PAGE_OF_ALL = text(_PAGE + _PAGE_END)
_PAGE_OF_ONE = text(_PAGE + " and recipient_id = :recipient_id" + _PAGE_END)


class Suppressions:
    """Of the caller's clinic. A recipient with a new address is mailed again."""

    def __init__(self, connection: Connection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def add(
        self,
        recipient: Recipient,
        address_print: bytes,
        *,
        reason: SuppressionReason,
        now: datetime,
    ) -> None:
        parameters = {
            "clinic_id": self._clinic_id,
            "id": uuid7(),
            "recipient_side": recipient.side,
            "recipient_id": recipient.id,
            "address_print": address_print,
            "reason": reason,
            "now": now,
        }
        await self._connection.execute(_ADD, parameters)

    async def of(self, recipient: Recipient) -> frozenset[bytes]:
        """Prints of this person's addresses that are mailed no more."""
        parameters = {"clinic_id": self._clinic_id, "recipient_id": recipient.id}
        rows = await self._connection.execute(_OF, parameters)
        return frozenset(bytes(row.address_print) for row in rows)

    async def get(self, id: UUID) -> Suppression | None:
        """Locked, so that it is lifted once."""
        parameters = {"clinic_id": self._clinic_id, "id": id}
        row = (await self._connection.execute(_GET, parameters)).one_or_none()
        return None if row is None else _to_suppression(row)

    async def lift(self, id: UUID, *, now: datetime) -> None:
        parameters = {"clinic_id": self._clinic_id, "id": id, "now": now}
        await self._connection.execute(_LIFT, parameters)

    async def page(
        self,
        recipient_id: UUID | None,
        *,
        include_lifted: bool,
        after: tuple[datetime, UUID] | None,
        most: int,
    ) -> list[Suppression]:
        """The latest first; of everybody where no recipient is named."""
        after_at, after_id = after or (None, None)
        parameters = {
            "clinic_id": self._clinic_id,
            "include_lifted": include_lifted,
            "after_at": after_at,
            "after_id": after_id,
            "most": most,
        }
        if recipient_id is None:
            return _to_suppressions(await self._connection.execute(_PAGE_OF_ALL, parameters))
        parameters["recipient_id"] = recipient_id
        return _to_suppressions(await self._connection.execute(_PAGE_OF_ONE, parameters))


def _to_suppressions(rows: Iterable[AnyRow]) -> list[Suppression]:
    return [_to_suppression(row) for row in rows]


def _to_suppression(row: AnyRow) -> Suppression:
    return Suppression(
        id=row.id,
        recipient=Recipient(Side(row.recipient_side), row.recipient_id),
        reason=SuppressionReason(row.reason),
        created_at=row.created_at,
        lifted_at=row.lifted_at,
    )
