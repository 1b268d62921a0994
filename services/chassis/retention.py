"""What the chassis's tables may forget, and when (design section 5)."""

import asyncio
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import inbox, outbox, requests
from services.chassis.database import Database

PASS_SECONDS = 60.0
_MOST = 5_000

_MARK = text("""
insert into outbox_marks (marked_at, published_position)
select clock_timestamp(), published_position from outbox_head
on conflict do nothing
""")
# By the time of publication, never of writing: what was not published is not forgotten.
_EVENTS = text("""
delete from outbox where position <= (
    select max(published_position) from outbox_marks where marked_at < clock_timestamp() - :age
) and id in (select id from outbox where position is not null order by position limit :most)
""")
_MARKS = text("delete from outbox_marks where marked_at < clock_timestamp() - 2 * :age")
_CLAIMS = text("""
delete from inbox where (clinic_id, consumer, event_id) in (
    select clinic_id, consumer, event_id from inbox
    where claimed_at < clock_timestamp() - :age limit :most)
""")
_REQUESTS = text("""
delete from requests where (clinic_id, actor, request_id) in (
    select clinic_id, actor, request_id from requests
    where created_at < clock_timestamp() - :age limit :most)
""")


async def run(database: Database) -> None:
    """Forget in small transactions, once a minute, for ever; as `worker`."""
    while True:
        while await clean(database, events_after=outbox.RETENTION):
            pass
        await asyncio.sleep(PASS_SECONDS)


async def clean(database: Database, *, events_after: timedelta) -> bool:
    """One pass: mark what is published now, and forget what was long ago.

    True where there may be more to forget than one pass takes.
    """

    async def work(connection: AsyncConnection) -> bool:
        await connection.execute(_MARK)
        passes = (
            (_EVENTS, events_after),
            (_CLAIMS, inbox.CLAIM_RETENTION),
            (_REQUESTS, requests.RETENTION),
        )
        forgotten = [
            (await connection.execute(delete, {"age": age, "most": _MOST})).rowcount
            for delete, age in passes
        ]
        await connection.execute(_MARKS, {"age": events_after})
        return max(forgotten) == _MOST

    return await database.connect(work)
