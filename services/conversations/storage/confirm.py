"""A refusal that rests on the replica is confirmed by the directory before it is given.

So a policy just switched on is never refused, whatever the lag of the events (design section 3).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from services.chassis.errors import Unavailable
from services.chassis.identity import Caller
from services.conversations.domain.errors import Unconfirmed
from services.directory_replica.gate import SessionUnknown, look_up_session
from services.directory_replica.replica import Replica
from services.directory_replica.states import (
    ClinicState,
    ProfileState,
    StaffState,
)

R = TypeVar("R")


async def confirmed(caller: Caller, attempt: Callable[[], Awaitable[R]], replica: Replica) -> R:
    """`attempt`, and once more on fresh facts where the replica's stood in its way.

    Where the directory cannot be reached the first refusal stands. A session that had to be looked
    up confirms nothing else.
    """
    try:
        try:
            return await attempt()
        except SessionUnknown:
            await look_up_session(caller, replica)
            return await attempt()
    except Unconfirmed as first:
        await _look_up(caller.clinic, first, replica)
    try:
        return await attempt()
    except Unconfirmed as second:
        raise second.refusal from None


async def _look_up(clinic_id: UUID, first: Unconfirmed, replica: Replica) -> None:
    """Read the three parties through, side by side.

    Raises Unavailable where a fact is missing and the directory is out of reach or too late, and
    the refusal where the facts are there but cannot be confirmed.
    """
    parties = (
        (ClinicState, clinic_id),
        (StaffState, first.staff_id),
        (ProfileState, first.profile_id),
    )
    lookups = (replica.look_up(clinic_id, kind, id) for kind, id in parties)
    found = await asyncio.gather(*lookups, return_exceptions=True)
    # Also where time ran out, which may be another caller's who asked for the same first.
    if any(isinstance(result, BaseException) for result in found):
        if first.facts_missing:
            raise Unavailable("The directory is out of reach; repeat the call")
        raise first.refusal
