"""The fence: no send or start commits on facts older than a confirmed call (I38).

A transaction that decides on facts of a clinic takes it shared, before it reads them; one that
changes such facts takes it exclusively, before any row lock. It is held to the end of the
transaction, in the space of advisory locks.
"""

import hashlib
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SHARED = text("select pg_advisory_xact_lock_shared(:key)")
_EXCLUSIVE = text("select pg_advisory_xact_lock(:key)")


def fence_key(clinic_id: UUID) -> int:
    """The 64-bit key of a clinic's advisory lock."""
    digest = hashlib.blake2b(clinic_id.bytes, digest_size=8, person=b"clinic-fence").digest()
    return int.from_bytes(digest, signed=True)


async def share_fence(connection: AsyncConnection, clinic_id: UUID) -> None:
    await connection.execute(_SHARED, {"key": fence_key(clinic_id)})


async def close_fence(connection: AsyncConnection, clinic_id: UUID) -> None:
    await connection.execute(_EXCLUSIVE, {"key": fence_key(clinic_id)})
