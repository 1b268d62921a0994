"""Transactions: admission permits, shielding, clinic scope and retries (design section 4).

A client that hangs up must cancel neither a commit nor a connection's checkout, so every
transaction runs in a task of its own, behind as many permits as the pool has connections.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.chassis.errors import Aborted, ResourceExhausted, Unavailable
from services.chassis.line import Connection, Line, Rows, Statement, Talk
from services.chassis.logs import get_logger

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]
ScopedWork = Callable[[AsyncConnection, datetime], Awaitable[T]]
TalkWork = Callable[[Talk], Awaitable[T]]

_SCOPE = text("select set_config('app.clinics', :clinics, true), transaction_timestamp()")

# Serialization failure and deadlock; a unique violation is a race that the second try sees decided.
_RETRIED = frozenset({"40001", "40P01", "23505"})
_BUSY = frozenset({"55P03", "57014"})  # lock_timeout, statement_timeout
# Without a code: what the driver refused to send. A repeat would fare no better.
_NOT_SENT = (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError)
_TRIES = 4
_LINES = 4

# The server's own limits, in milliseconds: they hold also when this process is stopped or gone.
_TIMEOUTS = (
    "-c statement_timeout=10000 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=10000"
)
_REPLAN = " -c plan_cache_mode=force_custom_plan"
_EVENTS = "events"

log = get_logger()


def scope(clinics: Collection[UUID]) -> Statement:
    """What a transaction on a line begins with, to see these clinics and no other."""
    return _SCOPE, {"clinics": clinic_list(clinics)}


def clinic_list(clinics: Collection[UUID]) -> str:
    """The value of `app.clinics`, which the policies of row-level security read."""
    return ",".join(map(str, clinics))


class Database:
    """One role's connections to one database; never more backends than `size`, and a few lines.

    `on_events` are called after each commit of a transaction that `note_events` spoke of. `replan`
    makes a plan for each statement anew: for work on tables that grow from nothing to millions of
    rows before anything has looked at their statistics.
    """

    def __init__(self, url: str, *, size: int, name: str, replan: bool = False) -> None:
        self.on_events: list[Callable[[], None]] = []
        self._engine = _engine(url, size, name, _REPLAN if replan else "")
        self._permits = asyncio.Semaphore(size)
        self._lines, self._talking_lines, self._waiting_lines = (
            _Lines(url, name) for _ in range(3)
        )

    async def transact(
        self, work: ScopedWork[T], *, clinics: Collection[UUID] = (), deadline: float = 3.0
    ) -> T:
        """Run `work(connection, now)` in a transaction that sees these clinics and no other.

        `now` is the transaction's timestamp. Commits when `work` returns, rolls back when it
        raises. `work` may run more than once: 40001, 40P01 and unique races are repeated.
        `deadline` is in seconds, for the permit and again for the work.
        """

        async def scoped(connection: AsyncConnection) -> T:
            row = (await connection.execute(_SCOPE, {"clinics": clinic_list(clinics)})).one()
            return await work(connection, row[1])

        return await self.connect(scoped, deadline=deadline)

    async def exchange(self, *statements: Statement, deadline: float = 3.0) -> Sequence[Rows]:
        """The rows of each statement, of one transaction in one round trip."""
        return await self._on_line(
            self._lines, lambda talk: talk.ask(*statements, commit=True), deadline
        )

    async def talk(self, work: TalkWork[T], *, waits: bool = False, deadline: float = 3.0) -> T:
        """As `connect`, for what runs all the time: a transaction on a line (`line.py`).

        What may wait for locks says so with `waits`. It is in nobody else's way, as exchanges are
        in the way of no talk.
        """
        lines = self._waiting_lines if waits else self._talking_lines
        return await self._on_line(lines, work, deadline)

    async def _on_line(self, lines: "_Lines", work: TalkWork[T], deadline: float) -> T:
        line = await lines.take(deadline)
        return await self._finished(
            lambda ends_at: self._once_on_line(line, work, ends_at),
            deadline,
            on_end=lambda: lines.free.put_nowait(line),
        )

    async def connect(self, work: Work[T], *, deadline: float = 3.0) -> T:
        """As `transact`, for work that sets its own scope or crosses clinics as `worker`."""
        await _had(self._permits.acquire(), deadline)
        return await self._finished(
            lambda ends_at: self._once(work, ends_at), deadline, on_end=self._permits.release
        )

    async def _finished(
        self, once: Callable[[float], Awaitable[T]], deadline: float, *, on_end: Callable[[], None]
    ) -> T:
        """The outcome of a task that nobody who hangs up can break off."""
        ends_at = asyncio.get_running_loop().time() + deadline
        task = asyncio.create_task(_repeated(once, ends_at))
        task.add_done_callback(partial(_ended, on_end))
        # Unlike a shield, a wait leaves the task alone without a future of its own.
        done, _ = await asyncio.wait((task,), timeout=deadline)
        try:
            if done:
                return task.result()
        except TimeoutError:  # the task's own clock was first
            pass
        raise Unavailable("The database took too long; repeat the call")

    async def _once(self, work: Work[T], ends_at: float) -> T:
        # Connecting has its own limit. A cancel in its midst would leave behind a backend that
        # nobody knows of, so the deadline begins to count for the task once it is connected.
        async with self._engine.connect() as connection:
            async with _by(ends_at), connection.begin():
                result = await work(connection)
            if connection.info.pop(_EVENTS, False):
                self._tell()
            return result

    async def _once_on_line(self, line: Line, work: TalkWork[T], ends_at: float) -> T:
        await line.open()
        talk = Talk(line)
        try:
            async with _by(ends_at):
                result = await work(talk)
                await talk.end()
        except BaseException:
            await talk.abandon()
            raise
        if talk.tells:
            self._tell()
        return result

    def _tell(self) -> None:
        for on_events in self.on_events:
            on_events()

    async def check(self) -> None:
        """Raises Unavailable where the database is out of reach."""
        await self.connect(_ping, deadline=1.0)

    async def close(self) -> None:
        for lines in (self._lines, self._talking_lines, self._waiting_lines):
            await lines.close()
        await self._engine.dispose()


class _Lines:
    """A few lines, each used by one transaction at a time; the last used first."""

    def __init__(self, url: str, name: str) -> None:
        self.free: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
        self._all = [Line(url, name=name, options=_TIMEOUTS) for _ in range(_LINES)]
        for line in self._all:
            self.free.put_nowait(line)

    async def take(self, deadline: float) -> Line:
        if self.free.empty():
            return await _had(self.free.get(), deadline)
        return self.free.get_nowait()

    async def close(self) -> None:
        for line in self._all:
            await line.close()


async def _had(permit: Awaitable[T], deadline: float) -> T:
    try:
        async with asyncio.timeout(deadline):
            return await permit
    except TimeoutError:
        raise ResourceExhausted("The service is at its limit of transactions") from None


async def _repeated(once: Callable[[float], Awaitable[T]], ends_at: float) -> T:
    for attempt in range(1, _TRIES + 1):
        try:
            return await once(ends_at)
        except (DBAPIError, psycopg.Error) as error:
            state = sqlstate(error)
            if state not in _RETRIED or attempt == _TRIES:
                raise refusal_of(error) from error
            log.info("transaction_repeated", sqlstate=state, attempt=attempt)
        await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
    raise AssertionError("the last try returns or raises")


def _ended(on_end: Callable[[], None], task: asyncio.Task[T]) -> None:
    on_end()
    if not task.cancelled():
        task.exception()  # a caller who is gone cannot look at it


def _by(ends_at: float) -> asyncio.Timeout:
    """Raises TimeoutError within, then; and at once where that has passed."""
    if asyncio.get_running_loop().time() >= ends_at:
        raise TimeoutError
    return asyncio.timeout_at(ends_at)


async def _ping(connection: AsyncConnection) -> None:
    await connection.execute(text("select 1"))


def note_events(connection: Connection) -> None:
    """This transaction adds events: whoever numbers them is to be told once it has committed."""
    if isinstance(connection, Talk):
        connection.tells = True
    else:
        connection.info[_EVENTS] = True


def _engine(url: str, size: int, name: str, options: str) -> AsyncEngine:
    return create_async_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=size,
        max_overflow=0,
        pool_recycle=1800,
        hide_parameters=True,
        connect_args={
            "application_name": name,
            "connect_timeout": 3,
            "options": _TIMEOUTS + options,
        },
    )


def sqlstate(error: DBAPIError | psycopg.Error) -> str | None:
    """The five-character code of a database error; none where the connection itself failed, or
    the driver refused to send what it was given."""
    cause = _cause_of(error)
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def _cause_of(error: DBAPIError | psycopg.Error) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def refusal_of(error: DBAPIError | psycopg.Error) -> Exception:
    """What a caller is told; an error of ours (a bad query) stays what it is."""
    state = sqlstate(error)
    if state in _RETRIED:
        return Aborted("Another call changed the same thing; repeat the call")
    if state in _BUSY:
        return Unavailable("The database is busy; repeat the call")
    if state is None and isinstance(_cause_of(error), _NOT_SENT):
        return error
    if state is None or state[:2] in ("08", "53", "57"):
        return Unavailable("The database is out of reach; repeat the call")
    return error
