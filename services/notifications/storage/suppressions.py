"""Addresses that do not work, as keyed hashes beside the recipient: no address is stored (I40)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifications.domain.delivery import Reason, Recipient

_ADD = text("""
insert into suppressions (clinic_id, recipient_id, address_print, reason, created_at)
values (:clinic_id, :recipient_id, :address_print, :reason, :now) on conflict do nothing
""")
_OF = text("""
select address_print from suppressions
where clinic_id = :clinic_id and recipient_id = :recipient_id
""")


class Suppressions:
    """Of the caller's clinic. A recipient with a new address is mailed again."""

    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def add(
        self, recipient: Recipient, address_print: bytes, *, reason: Reason, now: datetime
    ) -> None:
        parameters = {
            "clinic_id": self._clinic_id,
            "recipient_id": recipient.id,
            "address_print": address_print,
            "reason": reason,
            "now": now,
        }
        await self._connection.execute(_ADD, parameters)

    async def of(self, recipient: Recipient) -> frozenset[bytes]:
        parameters = {"clinic_id": self._clinic_id, "recipient_id": recipient.id}
        rows = await self._connection.execute(_OF, parameters)
        return frozenset(bytes(row.address_print) for row in rows)
