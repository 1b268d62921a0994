"""Repeats of a mutation: the same `request_id` answers with the same resource (AIP-155).

Sends keep their own record (design section 4); every other mutation claims its id here, in its
own transaction, and the row is kept for 7 days.
"""

import hashlib
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from services.chassis.errors import AlreadyExists
from services.chassis.identity import Caller
from services.chassis.line import AnyRow, Connection

RETENTION = timedelta(days=7)

_CLAIM = text("""
insert into requests (clinic_id, actor, request_id, method, fingerprint, result_id)
values (:clinic_id, :actor, :request_id, :method, :fingerprint, :result_id)
on conflict do nothing returning 1
""")
_EARLIER = text("""
select method, fingerprint, result_id from requests
where clinic_id = :clinic_id and actor = :actor and request_id = :request_id
""")


async def find(
    connection: Connection, caller: Caller, request_id: UUID, *, method: str, content: str
) -> UUID | None:
    """What a first use of this id made, or None where it was not used yet: for work that is done
    outside of any transaction and claimed when it is done. Raises AlreadyExists as `claim` does."""
    key = {"clinic_id": caller.clinic, "actor": caller.actor, "request_id": request_id}
    earlier = (await connection.execute(_EARLIER, key)).one_or_none()
    return None if earlier is None else _result_of(earlier, request_id, method, content)


async def claim(
    connection: Connection,
    caller: Caller,
    request_id: UUID,
    *,
    method: str,
    content: str,
    result_id: UUID,
) -> UUID | None:
    """None for the first to use this id; for a repeat, the id of what the first one made.

    `content` is what the request asks for, in one canonical form: it is stored as a hash. Two at
    once: the second waits for the first's commit. Raises AlreadyExists (IDEMPOTENCY_MISMATCH)
    where the id was used for something else.
    """
    key = {"clinic_id": caller.clinic, "actor": caller.actor, "request_id": request_id}
    row = {"method": method, "fingerprint": _fingerprint(content), "result_id": result_id}
    if (await connection.execute(_CLAIM, key | row)).scalar_one_or_none() is not None:
        return None
    earlier = (await connection.execute(_EARLIER, key)).one()
    return _result_of(earlier, request_id, method, content)


def _fingerprint(content: str) -> bytes:
    return hashlib.sha256(content.encode()).digest()


def _result_of(earlier: AnyRow, request_id: UUID, method: str, content: str) -> UUID:
    if earlier.method != method or bytes(earlier.fingerprint) != _fingerprint(content):
        raise AlreadyExists(
            "This request_id was used for a different request; make a new one",
            request_id=str(request_id),
        )
    result: UUID = earlier.result_id
    return result
