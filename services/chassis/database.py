"""Transactions: admission permits, shielding, clinic scope and retries (design section 4).

A client that hangs up must cancel neither a commit nor a connection's checkout, so every
transaction runs in a task of its own, behind as many permits as the pool has connections.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.chassis.errors import Aborted, ResourceExhausted, Unavailable
from services.chassis.line import Line, Rows, Statement
from services.chassis.logs import get_logger

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]
ScopedWork = Callable[[AsyncConnection, datetime], Awaitable[T]]

_SCOPE = text("select set_config('app.clinics', :clinics, true), transaction_timestamp()")

# Serialization failure and deadlock; a unique violation is a race that the second try sees decided.
_RETRIED = frozenset({"40001", "40P01", "23505"})
_BUSY = frozenset({"55P03", "57014"})  # lock_timeout, statement_timeout
# Without a code: what the driver refused to send. A repeat would fare no better.
_NOT_SENT = (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError)
_TRIES = 4

# The server's own limits, in milliseconds: they hold also when this process is stopped or gone.
_TIMEOUTS = (
    "-c statement_timeout=10000 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=10000"
)
_REPLAN = " -c plan_cache_mode=force_custom_plan"
_EVENTS = "events"

log = get_logger()


def clinic_list(clinics: Collection[UUID]) -> str:
    """The value of `app.clinics`, which the policies of row-level security read."""
    return ",".join(map(str, clinics))


class Database:
    """One role's connections to one database; never more backends than `size`.

    `on_events` are called after each commit of a transaction that `note_events` spoke of. `replan`
    makes a plan for each statement anew: for work on tables that grow from nothing to millions of
    rows before anything has looked at their statistics.
    """

    def __init__(self, url: str, *, size: int, name: str, replan: bool = False) -> None:
        self.on_events: list[Callable[[], None]] = []
        self._engine = _engine(url, size, name, _REPLAN if replan else "")
        self._permits = asyncio.Semaphore(size)
        self._line = Line(url, name=name, options=_TIMEOUTS)

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

    async def pipelined(self, *statements: Statement, deadline: float = 3.0) -> Sequence[Rows]:
        """The rows of each statement, of one transaction in one round trip.

        For what runs all the time; it has a connection of its own beside the `size` others, and
        one caller at a time.
        """
        try:
            return await self._line.run(statements, deadline=deadline)
        except psycopg.Error as error:
            raise refusal_of(error) from error
        except TimeoutError:
            raise Unavailable("The database took too long; repeat the call") from None

    async def connect(self, work: Work[T], *, deadline: float = 3.0) -> T:
        """As `transact`, for work that sets its own scope or crosses clinics as `worker`."""
        try:
            async with asyncio.timeout(deadline):
                await self._permits.acquire()
        except TimeoutError:
            raise ResourceExhausted("The service is at its limit of transactions") from None
        ends_at = asyncio.get_running_loop().time() + deadline
        task = asyncio.create_task(self._repeated(work, ends_at))
        task.add_done_callback(self._ended)
        try:
            async with asyncio.timeout_at(ends_at):
                return await asyncio.shield(task)
        except TimeoutError:
            raise Unavailable("The database took too long; repeat the call") from None

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._permits.release()
        if not task.cancelled():
            task.exception()  # a caller who is gone cannot look at it

    async def _repeated(self, work: Work[T], ends_at: float) -> T:
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._once(work, ends_at)
            except (DBAPIError, psycopg.Error) as error:
                state = sqlstate(error)
                if state not in _RETRIED or attempt == _TRIES:
                    raise refusal_of(error) from error
                log.info("transaction_repeated", sqlstate=state, attempt=attempt)
            await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
        raise AssertionError("the last try returns or raises")

    async def _once(self, work: Work[T], ends_at: float) -> T:
        # Connecting has its own limit. A cancel in its midst would leave behind a backend that
        # nobody knows of, so the deadline begins to count for the task once it is connected.
        async with self._engine.connect() as connection:
            if asyncio.get_running_loop().time() >= ends_at:
                raise TimeoutError
            async with asyncio.timeout_at(ends_at), connection.begin():
                result = await work(connection)
            if connection.info.pop(_EVENTS, False):
                for on_events in self.on_events:
                    on_events()
            return result

    async def check(self) -> None:
        """Raises Unavailable where the database is out of reach."""
        await self.connect(_ping, deadline=1.0)

    async def close(self) -> None:
        await self._line.close()
        await self._engine.dispose()


async def _ping(connection: AsyncConnection) -> None:
    await connection.execute(text("select 1"))


def note_events(connection: AsyncConnection) -> None:
    """This transaction adds events: whoever numbers them is to be told once it has committed."""
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
