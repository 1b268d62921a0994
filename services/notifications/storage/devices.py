"""The devices of profiles."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifications.domain.device import Device, Platform

_PAGE = text("""
select id, platform, registered_at from devices
where clinic_id = :clinic_id and profile_id = :profile_id
  and (cast(:after_at as timestamptz) is null
       or (registered_at, id) < (:after_at, cast(:after_id as uuid)))
order by registered_at desc, id desc limit :most
""")


class Devices:
    """Of the caller's clinic."""

    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def page(
        self, profile_id: UUID, *, after: tuple[datetime, UUID] | None, most: int
    ) -> list[Device]:
        """The latest registration first."""
        after_at, after_id = after or (None, None)
        parameters = {
            "clinic_id": self._clinic_id,
            "profile_id": profile_id,
            "after_at": after_at,
            "after_id": after_id,
            "most": most,
        }
        return [_to_device(row) for row in await self._connection.execute(_PAGE, parameters)]


def _to_device(row: Row[tuple[object, ...]]) -> Device:
    return Device(id=row.id, platform=Platform(row.platform), registered_at=row.registered_at)
