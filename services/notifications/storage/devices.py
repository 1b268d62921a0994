"""The devices of profiles, and which of them has a push token now.

A token belongs to one profile of all clinics. A transaction sees the devices of its own clinic and
no other's, so whose a token is stands in a table without clinics or people, of keyed prints and
device ids: to bind a token anew moves that one row, whoever had it. A device counts only while it
has its token; one that lost it to another clinic is swept up as `worker`.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.chassis.line import AnyRow, Connection
from services.messaging_rule import Side
from services.notifications.domain.delivery import Recipient, Whom
from services.notifications.domain.device import Device, DeviceAddress, Platform

_PAGE = text("""
select device.id, platform, registered_at from devices as device
join push_tokens as token on token.device_id = device.id
where clinic_id = :clinic_id and profile_id = :profile_id
  and (cast(:after_at as timestamptz) is null
       or (registered_at, device.id) < (:after_at, cast(:after_id as uuid)))
order by registered_at desc, device.id desc limit :most
""")
_OF = text("""
select clinic_id, profile_id, device.id, platform, registered_at, sealed_token
from unnest(cast(:clinics as uuid[]), cast(:profiles as uuid[])) as asked (clinic_id, profile_id)
join devices as device using (clinic_id, profile_id)
join push_tokens as token on token.device_id = device.id
order by registered_at desc, device.id desc
""")
_GET = text("""
select device.id, platform, registered_at from devices as device
join push_tokens as token on token.device_id = device.id
where clinic_id = :clinic_id and profile_id = :profile_id and device.id = :id
""")
# What ends the session, as a merge does too, waits for this transaction and then finds the device;
# what did so before is seen here.
_STAND_STILL = text("""
select 1 from replica_sessions
where clinic_id = :clinic_id and session_id = :session_id
  and side = 'profile' and person_id = :profile_id and ended_at is null
for share
""")
_HOLDER = text("""
select device.id from push_tokens as token
join devices as device on device.id = token.device_id
where token.token_print = :print
  and device.clinic_id = :clinic_id and device.profile_id = :profile_id
""")
# The device of this clinic that had the token before goes; of another clinic's we see nothing.
_BIND = text("""
insert into push_tokens (token_print, device_id) values (:print, :id)
on conflict (token_print) do update set device_id = excluded.device_id
""")
_RETIRE_OTHERS = text("""
delete from devices as device
where clinic_id = :clinic_id and token_print = :print and id <> :id
""")
_SAVE = text("""
insert into devices (clinic_id, id, profile_id, session_id, platform, registered_at,
                     token_print, sealed_token)
values (:clinic_id, :id, :profile_id, :session_id, :platform, :now, :print, :sealed_token)
on conflict (clinic_id, id) do update
set session_id = excluded.session_id, registered_at = excluded.registered_at,
    sealed_token = excluded.sealed_token
""")
_SURPLUS = text("""
select device.id, device.registered_at from devices as device
where clinic_id = :clinic_id and profile_id = :profile_id
order by registered_at desc, id desc offset :most
""")
_DROP = text("""
with gone as (
    delete from devices as device
    using unnest(cast(:ids as uuid[]), cast(:times as timestamptz[])) as asked (id, registered_at)
    where device.clinic_id = :clinic_id and device.id = asked.id
      and device.registered_at = asked.registered_at
    returning device.id
)
delete from push_tokens where device_id in (select id from gone)
""")
_REMOVE = text("""
with gone as (
    delete from devices where clinic_id = :clinic_id and profile_id = :profile_id and id = :id
    returning id
), unbound as (
    delete from push_tokens where device_id in (select id from gone) returning device_id
)
select count(*) from unbound
""")


class Devices:
    """Of the caller's clinic."""

    def __init__(self, connection: Connection, clinic_id: UUID) -> None:
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

    async def of(self, profile_id: UUID) -> list[DeviceAddress]:
        """Where a push to this profile goes."""
        whom = Whom(self._clinic_id, Recipient(Side.PROFILE, profile_id))
        return (await devices_of(self._connection, [whom]))[whom]

    async def get(self, profile_id: UUID, device_id: UUID) -> Device | None:
        key = {"clinic_id": self._clinic_id, "profile_id": profile_id, "id": device_id}
        row = (await self._connection.execute(_GET, key)).one_or_none()
        return None if row is None else _to_device(row)

    async def hold_session(self, profile_id: UUID, session_id: UUID) -> bool:
        """Keep this session from ending until we commit; False where it has ended."""
        key = {
            "clinic_id": self._clinic_id,
            "profile_id": profile_id,
            "session_id": session_id,
        }
        found = await self._connection.execute(_STAND_STILL, key)
        return found.scalar_one_or_none() is not None

    async def holder(self, token_print: bytes, profile_id: UUID) -> UUID | None:
        """The device of this profile that has the token."""
        key = {"clinic_id": self._clinic_id, "profile_id": profile_id, "print": token_print}
        found: UUID | None = (await self._connection.execute(_HOLDER, key)).scalar_one_or_none()
        return found

    async def save(
        self,
        address: DeviceAddress,
        *,
        profile_id: UUID,
        session_id: UUID,
        token_print: bytes,
    ) -> None:
        """Give the token to this device, whoever had it, and keep the device."""
        row = {
            "clinic_id": self._clinic_id,
            "id": address.id,
            "profile_id": profile_id,
            "session_id": session_id,
            "platform": address.platform,
            "now": address.registered_at,
            "print": token_print,
            "sealed_token": address.sealed_token,
        }
        await self._connection.execute(_BIND, row)
        await self._connection.execute(_RETIRE_OTHERS, row)
        await self._connection.execute(_SAVE, row)

    async def drop_surplus(self, profile_id: UUID, *, most: int) -> None:
        """Keep the `most` that registered last."""
        key = {"clinic_id": self._clinic_id, "profile_id": profile_id, "most": most}
        rows = (await self._connection.execute(_SURPLUS, key)).all()
        await self._drop([(row.id, row.registered_at) for row in rows])

    async def drop(self, devices: Collection[DeviceAddress]) -> None:
        """Their provider knows them no more. One that has registered since stays."""
        await self._drop([(device.id, device.registered_at) for device in devices])

    async def _drop(self, devices: Collection[tuple[UUID, datetime]]) -> None:
        if not devices:
            return
        parameters = {
            "clinic_id": self._clinic_id,
            "ids": [id for id, _ in devices],
            "times": [registered_at for _, registered_at in devices],
        }
        await self._connection.execute(_DROP, parameters)

    async def remove(self, profile_id: UUID, device_id: UUID) -> bool:
        """Whether it was there."""
        key = {"clinic_id": self._clinic_id, "profile_id": profile_id, "id": device_id}
        removed: int = (await self._connection.execute(_REMOVE, key)).scalar_one()
        return removed > 0


async def devices_of(
    connection: Connection, profiles: Collection[Whom]
) -> Mapping[Whom, list[DeviceAddress]]:
    """Where pushes to these profiles go, of any clinics of the transaction."""
    found: dict[tuple[UUID, UUID], list[DeviceAddress]] = {}
    parameters = {
        "clinics": [whom.clinic_id for whom in profiles],
        "profiles": [whom.recipient.id for whom in profiles],
    }
    for row in await connection.execute(_OF, parameters):
        found.setdefault((row.clinic_id, row.profile_id), []).append(_to_address(row))
    return {whom: found.get((whom.clinic_id, whom.recipient.id), []) for whom in profiles}


def _to_device(row: AnyRow) -> Device:
    return Device(id=row.id, platform=Platform(row.platform), registered_at=row.registered_at)


def _to_address(row: AnyRow) -> DeviceAddress:
    return DeviceAddress(
        clinic_id=row.clinic_id,
        id=row.id,
        platform=Platform(row.platform),
        registered_at=row.registered_at,
        sealed_token=bytes(row.sealed_token),
    )
