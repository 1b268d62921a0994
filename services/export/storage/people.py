"""Who is staff and who is Account Owner, as the replica has it."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.directory_replica import store

# Two for the moment between the two states that a transfer of the ownership makes.
_OWNERS = text("""
select staff_id from replica_staff where clinic_id = :clinic_id and account_owner
order by staff_id
""")


class People:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def is_staff(self, id: UUID) -> bool:
        return await store.staff(self._connection, self._clinic_id, id) is not None

    async def is_owner(self, staff_id: UUID) -> bool:
        staff = await store.staff(self._connection, self._clinic_id, staff_id)
        return staff is not None and staff.account_owner

    async def owners(self) -> Sequence[UUID]:
        parameters = {"clinic_id": self._clinic_id}
        rows = await self._connection.execute(_OWNERS, parameters)
        return [row.staff_id for row in rows]
