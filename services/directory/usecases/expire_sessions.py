"""Sessions end by themselves: after a time without activity, and at the latest after another."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from services.chassis.clock import Clock
from services.chassis.identity import Caller, Role
from services.directory.domain.session import SessionLimits
from services.directory.storage.unit_of_work import Storage, Transaction
from services.directory.usecases.confirm import Peers, told

PASS_SECONDS = 10.0
_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireSessions:
    caller: Caller
    session_ids: tuple[UUID, ...]
    limits: SessionLimits


async def expire_for_ever(
    storage: Storage, peers: Peers, *, limits: SessionLimits, clock: Clock
) -> None:
    """Runs until it is cancelled."""
    while True:
        while await expire_due(storage, peers, limits=limits, clock=clock) == _MOST:
            pass
        await asyncio.sleep(PASS_SECONDS)


async def expire_due(storage: Storage, peers: Peers, *, limits: SessionLimits, clock: Clock) -> int:
    """End what is over a limit now, one clinic a transaction; how many were found.

    The others are told side by side, so that one who is out of reach delays no clinic's sessions.
    """
    due = await storage.sessions_due(limits, most=_MOST)
    ended = []
    for clinic_id, of_clinic in groupby(due, key=itemgetter(0)):
        caller = Caller(
            role=Role.SERVICE,
            name="directory",
            clinic_id=clinic_id,
            expires_at=clock() + timedelta(minutes=1),
        )
        command = ExpireSessions(
            caller=caller, session_ids=tuple(id for _, id in of_clinic), limits=limits
        )
        ended.append(await storage.run_telling(expire_sessions, command))
    await asyncio.gather(*(told(outcome, peers=peers) for outcome in ended))
    return len(due)


async def expire_sessions(tx: Transaction, command: ExpireSessions) -> None:
    """Who showed a sign of life since they were found stays signed in."""
    ended = await tx.sessions.expire(command.session_ids, limits=command.limits, now=tx.now)
    await tx.announce(*ended)
