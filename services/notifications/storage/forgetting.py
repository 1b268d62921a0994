"""What the ledger may forget: what was settled so long ago that nobody asks any more.

A row is also what keeps a fact that comes again from telling anybody again, long after its claim
is forgotten (14 days): so a fact of a message older than that is passed over.
"""

from datetime import timedelta

from sqlalchemy import TextClause, text

from services.chassis.database import Database

_MOST = 5_000
_DELIVERIES = text("""
delete from deliveries where (clinic_id, id) in (
    select clinic_id, id from deliveries
    where decided_at < clock_timestamp() - cast(:age as interval)
      and state not in ('HELD', 'CLAIMED', 'TRANSMITTING')
    limit :most)
""")
_DELETED = text("""
delete from deleted_messages where (clinic_id, message_id) in (
    select clinic_id, message_id from deleted_messages
    where deleted_at < clock_timestamp() - cast(:age as interval) limit :most)
""")


class Forgetting:
    """Works as `worker`. `age` is counted from the last decision."""

    def __init__(self, worker: Database, *, age: timedelta) -> None:
        self._worker = worker
        self._age = age

    async def run(self) -> bool:
        """One pass; true where there may be more than one takes."""
        return max([await self._delete(each) for each in (_DELIVERIES, _DELETED)]) == _MOST

    async def _delete(self, statement: TextClause) -> int:
        parameters = {"age": self._age, "most": _MOST}
        deleted = await self._worker.connect(lambda c: c.execute(statement, parameters))
        return deleted.rowcount
