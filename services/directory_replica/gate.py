"""The door to a database that serves persons: a call counts only while its session is alive.

The session is checked in the call's own transaction; one that the replica does not hold is looked
up once, then refused (design section 7).
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.database import Database, scope
from services.chassis.errors import SessionEnded
from services.chassis.identity import Caller, Role
from services.chassis.line import Rows, Statement
from services.directory_replica import store
from services.directory_replica.replica import Replica
from services.directory_replica.states import SessionState
from services.messaging_rule import Side

T = TypeVar("T")
Work = Callable[[AsyncConnection, datetime], Awaitable[T]]


class SessionUnknown(SessionEnded):
    """The replica does not hold this session."""


class Gate:
    """Transactions on behalf of callers, each scoped to the caller's clinic."""

    def __init__(self, database: Database, replica: Replica) -> None:
        self._database = database
        self._replica = replica

    async def run(self, caller: Caller, work: Work[T]) -> T:
        """`work` in a transaction; for a person, only while their session is alive.

        Raises SessionEnded, or Unavailable where an unknown session cannot be looked up.
        """

        async def checked(connection: AsyncConnection, now: datetime) -> T:
            if caller.is_person:
                await _check_session(connection, caller)
            return await work(connection, now)

        try:
            return await self._database.transact(checked, clinics=[caller.clinic])
        except SessionUnknown:
            await look_up_session(caller, self._replica)
            return await self._database.transact(checked, clinics=[caller.clinic])

    async def read(self, caller: Caller, *statements: Statement) -> Sequence[Rows]:
        """The rows of each statement in one round trip; for a person, only while their session is
        alive. Raises as `run`."""
        try:
            return await self._read(caller, statements)
        except SessionUnknown:
            await look_up_session(caller, self._replica)
            return await self._read(caller, statements)

    async def _read(self, caller: Caller, statements: Sequence[Statement]) -> Sequence[Rows]:
        asked = [
            scope([caller.clinic]),
            store.session_of(caller.clinic, caller.session_id),
            *statements,
        ]
        _, sessions, *rows = await self._database.exchange(*asked)
        if caller.is_person:
            _refuse(caller, store.to_session(sessions[0]) if sessions else None)
        return rows


async def look_up_session(caller: Caller, replica: Replica) -> None:
    """Ask the directory for the caller's session; SessionEnded where it has none."""
    session_id = caller.session_id
    if session_id is None or not await replica.look_up(caller.clinic, SessionState, session_id):
        raise SessionEnded("This session is not known; sign in again")


async def _check_session(connection: AsyncConnection, caller: Caller) -> None:
    assert caller.session_id is not None
    _refuse(caller, await store.session(connection, caller.clinic, caller.session_id))


def _refuse(caller: Caller, session: SessionState | None) -> None:
    side = Side.STAFF if caller.role is Role.STAFF else Side.PROFILE
    alive = (
        session is not None
        and session.ended_at is None
        and (session.side, session.person_id) == (side, caller.person)
    )
    if refusal := session_refusal(known=session is not None, alive=alive):
        raise refusal


def session_refusal(*, known: bool, alive: bool) -> SessionEnded | None:
    """What a caller is told whose session is not theirs and alive."""
    if not known:
        return SessionUnknown("This session is not known; sign in again")
    return None if alive else SessionEnded("This session has ended; sign in again")
