"""How late mails and pushes are, across clinics: read as `worker`."""

from collections.abc import Mapping

from sqlalchemy import text

from services.chassis.database import Database
from services.notifications.domain.delivery import Channel

_LAG = text("""
select asked.channel,
       coalesce(extract(epoch from clock_timestamp() - due.due_at), 0)::float8 as seconds
from unnest(cast(:channels as text[])) as asked (channel)
left join lateral (
    select due_at from deliveries
    where state = 'HELD' and channel = asked.channel and due_at <= clock_timestamp()
    order by due_at limit 1
) as due on true
""")


class Lag:
    def __init__(self, worker: Database) -> None:
        self._worker = worker

    async def seconds(self) -> Mapping[Channel, float]:
        """For how long the one that is due the longest has been waiting, by channel."""
        parameters = {"channels": list(Channel)}
        rows = await self._worker.connect(lambda c: c.execute(_LAG, parameters))
        return {Channel(row.channel): row.seconds for row in rows}
