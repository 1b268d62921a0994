"""A handler of facts whose effects can be counted, and that fails as a test tells it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.database import Database
from services.chassis.inbox import claim
from services.chassis.outbox import Event

CONSUMER = "test"

# The audit takes whatever is added, so that a second effect would be seen.
_EFFECT = text("""
insert into audit (clinic_id, actor, action, object_type, object_id, outcome, reason)
values (:clinic_id, 'service:test', 'effect', 'event', :event_id, 'done', '')
""")


class Effects:
    """Claims each event in the transaction of its effect, a batch in one transaction."""

    def __init__(self, app: Database) -> None:
        self._app = app
        self.seen: list[UUID] = []
        self.fails: Callable[[Event], Exception | None] = lambda event: None

    async def __call__(self, events: Sequence[Event]) -> None:
        self.seen += [event.event_id for event in events]

        async def work(connection: AsyncConnection, _: datetime) -> None:
            for event in events:
                if failure := self.fails(event):
                    raise failure
                await _have_effect(connection, event)

        await self._app.transact(work, clinics={event.clinic_id for event in events})


async def _have_effect(connection: AsyncConnection, event: Event) -> None:
    key = {"clinic_id": event.clinic_id, "event_id": event.event_id}
    if await claim(connection, consumer=CONSUMER, **key):
        await connection.execute(_EFFECT, {**key, "event_id": str(event.event_id)})
