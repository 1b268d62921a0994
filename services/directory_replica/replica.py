"""Taking states in: from ApplyStates, from the bus, from the sweep, from a look-up; all alike."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from datetime import datetime
from itertools import groupby
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.database import Database
from services.directory_replica import store
from services.directory_replica.fence import close_fence
from services.directory_replica.states import (
    ClinicState,
    ProfileState,
    SessionState,
    StaffState,
    State,
)

Key = tuple[type[State], UUID, UUID]


class Directory(Protocol):
    """The directory, as far as a replica asks it."""

    async def get_state(self, clinic_id: UUID, kind: type[State], id: UUID) -> State | None:
        """The current state, or None where there is none; Unavailable where it is out of reach."""
        ...


class Replica:
    """The directory's states in this service's database."""

    def __init__(
        self, database: Database, directory: Directory, *, applied: Callable[[], None]
    ) -> None:
        self._database = database
        self._directory = directory
        self._applied = applied
        self._lookups: dict[Key, asyncio.Task[bool]] = {}

    async def apply(self, states: Sequence[State]) -> None:
        """Keep the newest of each; returns once it is committed, one clinic a transaction.

        From then on every read and send that begins decides on it (I38).
        """
        newest = newest_of(states)
        for clinic_id, of_clinic in groupby(newest, lambda state: state.clinic_id):
            await self._apply_to_clinic(clinic_id, list(of_clinic))
        if newest:
            self._applied()

    async def _apply_to_clinic(self, clinic_id: UUID, states: Sequence[State]) -> None:
        async def take_in(connection: AsyncConnection, _: datetime) -> bool:
            # Without the fence: a row that was missing let nobody send.
            if await store.insert_missing(connection, states):
                return False
            sessions = [state for state in states if isinstance(state, SessionState)]
            await store.update_older(connection, sessions)
            return await store.holds_older(connection, states)

        async def replace(connection: AsyncConnection, _: datetime) -> None:
            await close_fence(connection, clinic_id)
            await store.update_older(connection, states)

        if await self._database.transact(take_in, clinics=[clinic_id]):
            await self._database.transact(replace, clinics=[clinic_id])

    async def look_up(self, clinic_id: UUID, kind: type[State], id: UUID) -> bool:
        """Read one state through from the directory; False where it has none.

        Many at once for one state make one call. Raises Unavailable where it is out of reach.
        """
        key = (kind, clinic_id, id)
        lookup = self._lookups.get(key)
        if lookup is None:
            # In a context of its own: the time that is left to who asked first is not the others'.
            lookup = asyncio.create_task(self._look_up(key), context=Context())
            self._lookups[key] = lookup
            lookup.add_done_callback(lambda _: self._lookups.pop(key))
        return await asyncio.shield(lookup)

    async def _look_up(self, key: Key) -> bool:
        kind, clinic_id, id = key
        state = await self._directory.get_state(clinic_id, kind, id)
        if state is not None:
            await self.apply([state])
        return state is not None


def newest_of(states: Sequence[State]) -> list[State]:
    """The newest state of each clinic, person and session, those of one clinic side by side."""
    newest: dict[Key, State] = {}
    for state in states:
        key = (type(state), state.clinic_id, id_of(state))
        held = newest.get(key)
        if held is None or _order(held) < _order(state):
            newest[key] = state
    return sorted(newest.values(), key=lambda state: (str(state.clinic_id), str(id_of(state))))


def id_of(state: State) -> UUID:
    """The id of what the state is of."""
    match state:
        case ClinicState():
            return state.clinic_id
        case StaffState():
            return state.staff_id
        case ProfileState():
            return state.profile_id
        case SessionState():
            return state.session_id


def _order(state: State) -> tuple[str, int]:
    return state.stamp.incarnation, state.stamp.version
