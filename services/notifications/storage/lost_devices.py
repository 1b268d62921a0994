"""Devices that nobody uses any more, of all clinics: swept up as `worker`."""

from sqlalchemy import text

from services.chassis.database import Database
from services.notifications.domain.device import FORGOTTEN_AFTER

_MOST = 1_000

# One that registers meanwhile has another time, and stays.
_SWEEP = text("""
with lost as (
    select clinic_id, id, registered_at from devices as device
    where registered_at < clock_timestamp() - :age
       or not exists (select 1 from push_tokens where device_id = device.id)
    limit :most
), gone as (
    delete from devices as device using lost
    where device.clinic_id = lost.clinic_id and device.id = lost.id
      and device.registered_at = lost.registered_at
    returning device.id
), unbound as (
    delete from push_tokens where device_id in (select id from gone)
)
select count(*) from gone
""")


class LostDevices:
    """Those whose token went to a profile of another clinic, and those unheard of for long."""

    def __init__(self, worker: Database) -> None:
        self._worker = worker

    async def sweep(self) -> bool:
        """True where there may be more than one pass takes."""
        parameters = {"age": FORGOTTEN_AFTER, "most": _MOST}
        swept = await self._worker.connect(lambda c: c.execute(_SWEEP, parameters))
        return bool(swept.scalar_one() == _MOST)
