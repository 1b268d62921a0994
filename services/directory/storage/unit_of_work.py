"""One transaction of this service, and the only door to its stores."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import audit, outbox, requests
from services.chassis.database import Database
from services.chassis.errors import ClinicRequired, SessionEnded
from services.chassis.identity import Caller
from services.directory.domain.events import State, Subject
from services.directory.domain.session import SessionLimits, person_of
from services.directory.storage import sessions, states
from services.directory.storage.clinics import Clinics
from services.directory.storage.events import to_event
from services.directory.storage.imports import Imports
from services.directory.storage.merges import Merges
from services.directory.storage.profiles import Profiles
from services.directory.storage.sessions import Sessions, Standing
from services.directory.storage.staff_members import StaffMembers


class Command(Protocol):
    @property
    def caller(self) -> Caller: ...


C = TypeVar("C", bound=Command)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Transaction:
    """The stores of one transaction, scoped to the caller's clinic.

    `now` is when it began, `standing` that of the person who calls. `told` is what has to be in
    force elsewhere when the call returns.
    """

    connection: AsyncConnection
    caller: Caller
    now: datetime
    clinics: Clinics
    staff_members: StaffMembers
    profiles: Profiles
    merges: Merges
    sessions: Sessions
    imports: Imports
    standing: Standing | None = None
    told: list[State] = field(default_factory=list)

    async def publish(self, *subjects: Subject) -> Sequence[State]:
        """Write what these now are as events, in the transaction that made them so."""
        published = await self._states_of(subjects)
        await outbox.add(self.connection, [to_event(state) for state in published])
        return published

    async def announce(self, *subjects: Subject) -> None:
        """As `publish`, and the call returns only when others hold what these are (I38)."""
        self.told.extend(await self.publish(*subjects))

    async def remind(self, *subjects: Subject) -> None:
        """As `announce`, where nothing changed: a repeat confirms what the first try did."""
        self.told.extend(await self._states_of(subjects))

    async def state_of(self, subject: Subject) -> State:
        """The subject in this incarnation of the database."""
        return State(subject, await states.incarnation(self.connection))

    async def _states_of(self, subjects: Sequence[Subject]) -> list[State]:
        incarnation = await states.incarnation(self.connection)
        return [State(subject, incarnation) for subject in subjects]

    async def note(self, action: str, object_type: str, object_id: UUID) -> None:
        """Who did what, in the transaction that does it."""
        record = audit.Record(action=action, object_type=object_type, object_id=object_id)
        await audit.add(self.connection, self.caller, self.caller.clinic, record)

    async def earlier_result(
        self, request_id: UUID, *, method: str, content: str, result_id: UUID
    ) -> UUID | None:
        """What an earlier try of this request made, or None for the first."""
        return await requests.claim(
            self.connection,
            self.caller,
            request_id,
            method=method,
            content=content,
            result_id=result_id,
        )


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """What a transaction returned, and the states that others have to hold now."""

    result: R
    states: Sequence[State]


class _Rehearsed(Exception):
    """Rolls a transaction back that did all it should."""


class Storage:
    """Transactions for use cases."""

    def __init__(self, database: Database, worker: Database) -> None:
        self._database = database
        self._worker = worker

    async def run(self, work: Callable[[Transaction, C], Awaitable[R]], command: C) -> R:
        """`work(tx, command)` in one transaction of the caller's clinic and live session.

        Commits when it returns, rolls back when it raises, and runs it again where the database
        asks for that (40001): it must do nothing outside the transaction. Raises SessionEnded.
        """
        return (await self.run_telling(work, command)).result

    async def run_long(self, work: Callable[[Transaction, C], Awaitable[R]], command: C) -> R:
        """As `run`, for a machine's work on many rows at once: it has 10 seconds."""
        return (await self.run_unchecked(work, command, deadline=10.0)).result

    async def rehearse(self, work: Callable[[Transaction, C], Awaitable[R]], command: C) -> R:
        """As `run_long`, and nothing of it stays."""

        results: list[R] = []

        async def undone(tx: Transaction, command: C) -> R:
            results.append(await work(tx, command))
            raise _Rehearsed

        with suppress(_Rehearsed):
            await self.run_long(undone, command)
        return results[-1]

    async def run_telling(
        self, work: Callable[[Transaction, C], Awaitable[R]], command: C
    ) -> Outcome[R]:
        """As `run`, with what it announced."""

        async def checked(tx: Transaction, command: C) -> R:
            if command.caller.is_person:
                tx = replace(tx, standing=await _standing(tx))
            return await work(tx, command)

        return await self.run_unchecked(checked, command)

    async def run_unchecked(
        self,
        work: Callable[[Transaction, C], Awaitable[R]],
        command: C,
        *,
        deadline: float = 3.0,
    ) -> Outcome[R]:
        """As `run_telling`, for machines and work that looks at the caller's session itself."""
        caller = command.caller
        if caller.clinic_id is None:
            raise ClinicRequired("Name the clinic in clinic-id metadata")

        async def body(connection: AsyncConnection, now: datetime) -> Outcome[R]:
            tx = _transaction(connection, caller, now)
            return Outcome(await work(tx, command), tx.told)

        return await self._database.transact(body, clinics=[caller.clinic], deadline=deadline)

    async def states_after(self, after: tuple[UUID, UUID], *, most: int) -> Sequence[State]:
        """Current states of all clinics, in the order of clinic and id."""
        return await self._worker.connect(lambda c: states.page(c, after=after, most=most))

    async def sessions_due(
        self, limits: SessionLimits, *, most: int
    ) -> Sequence[tuple[UUID, UUID]]:
        """Clinic and id of open sessions that are over a limit, of all clinics."""
        return await self._worker.connect(lambda c: sessions.due(c, limits, most=most))


def _transaction(connection: AsyncConnection, caller: Caller, now: datetime) -> Transaction:
    clinic_id = caller.clinic
    return Transaction(
        connection=connection,
        caller=caller,
        now=now,
        clinics=Clinics(connection, clinic_id),
        staff_members=StaffMembers(connection, clinic_id),
        profiles=Profiles(connection, clinic_id),
        merges=Merges(connection, clinic_id),
        sessions=Sessions(connection, clinic_id),
        imports=Imports(connection, clinic_id),
    )


async def _standing(tx: Transaction) -> Standing:
    """Raises SessionEnded unless the caller's session is theirs, and open."""
    caller, person = tx.caller, person_of(tx.caller)
    assert caller.session_id is not None
    standing = await tx.sessions.standing(caller.session_id)
    if standing is None or not standing.session.open or standing.session.person != person:
        raise SessionEnded("This session is not known or has ended; sign in again")
    return standing
