"""Connections of their own for the few transactions that a process repeats all day long.

Everything that is asked at once goes to the server as one message and comes back as one, with
plans that each connection has made once: a pool's checkout, BEGIN, COMMIT and a round trip for
each statement would cost several times what the statements do.
"""

import asyncio
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any, Protocol, cast

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from sqlalchemy import Row as PoolRow
from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.ext.asyncio import AsyncConnection


class Row(Protocol):
    """A row's values by the names of its columns, and by their places."""

    def __getattr__(self, name: str, /) -> Any: ...

    def __getitem__(self, place: int, /) -> Any: ...


Statement = tuple[TextClause, Mapping[str, object]]
Rows = Sequence[Row]
# As a line gives it, or the pool.
AnyRow = Row | PoolRow[tuple[object, ...]]
_MakeRow = Callable[[Sequence[object]], Row]

_BEGIN: Statement = (text("begin"), {})
_COMMIT: Statement = (text("commit"), {})
_ROLLBACK: Statement = (text("rollback"), {})
_ROLLBACK_SECONDS = 1.0

_numbers = count()
_DIALECT = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
# They look up by key, whatever the tables' sizes were when a plan was made.
_KEYED = (
    "".join(f" -c enable_{way}=off" for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"))
    + " -c plan_cache_mode=force_generic_plan"
)


class Line:
    """One connection, opened when it is first used and again after it broke.

    It stays in libpq's pipeline mode: a cursor would do for each result what is needed once a
    statement. After an exchange that failed it is out of step, for what came behind the failure is
    unread: it can only be closed.
    """

    def __init__(self, url: str, *, name: str, options: str) -> None:
        self._url = url
        self._name = name
        self._options = options + _KEYED
        self._driver: psycopg.AsyncConnection | None = None
        self._adapter = Transformer()
        self.in_step = True
        # How each statement that this connection has prepared makes rows, once it has made some.
        self._prepared: dict[bytes, _MakeRow | None] = {}

    async def open(self) -> None:
        if self._driver is None or self._driver.closed:
            self._prepared.clear()
            self.in_step = True
            self._driver = await psycopg.AsyncConnection.connect(
                self._url,
                autocommit=True,
                application_name=self._name,
                connect_timeout=3,
                options=self._options,
            )
            self._driver.pgconn.enter_pipeline_mode()
            self._adapter = Transformer(self._driver)

    async def send(self, statements: Sequence[Statement]) -> Sequence[Rows]:
        """The rows of each statement; each sees what others committed before it began.

        They are one transaction, or belong to the one that a "begin" has opened.
        """
        written = [_written(query) for query, _ in statements]
        if new := {each.name: each for each in written if each.name not in self._prepared}:
            await self._exchange(lambda server: _prepare(server, new.values()))
            self._prepared.update(dict.fromkeys(new))
        asked = [
            (each.name, [parameters[name] for name in each.order])
            for each, (_, parameters) in zip(written, statements, strict=True)
        ]
        results = await self._exchange(lambda server: self._execute(server, asked))
        return [self._rows(each.name, got) for each, got in zip(written, results, strict=True)]

    async def _exchange(self, ask: Callable[[PGconn], None]) -> Sequence[PGresult]:
        assert self._driver is not None
        if not self.in_step:
            raise psycopg.OperationalError("the exchange before this one failed")
        self.in_step = False
        results = await self._driver.wait(_exchange(self._driver.pgconn, ask))
        self.in_step = True
        return results

    def _execute(self, server: PGconn, asked: Sequence[tuple[bytes, Sequence[object]]]) -> None:
        for name, values in asked:
            dumped = self._adapter.dump_sequence(values, [PyFormat.TEXT] * len(values))
            server.send_query_prepared(name, dumped)

    def _rows(self, name: bytes, result: PGresult) -> Rows:
        if result.status != ExecStatus.TUPLES_OK:
            return []
        make = self._prepared[name]
        if make is None:
            make = self._prepared[name] = _row_maker(result)
        self._adapter.set_pgresult(result)
        return self._adapter.load_rows(0, result.ntuples, make)

    async def close(self) -> None:
        if self._driver is not None:
            await self._driver.close()


class Talk:
    """One transaction on a line, in as many exchanges as it needs."""

    def __init__(self, line: Line) -> None:
        self.tells = False
        self._line = line
        self._open = False

    async def ask(self, *statements: Statement, commit: bool = False) -> Sequence[Rows]:
        """The rows of each statement, in one round trip; with `commit`, the transaction's last."""
        before = [_BEGIN] if not (self._open or commit) else []
        after = [_COMMIT] if self._open and commit else []
        self._open = not commit
        results = await self._line.send([*before, *statements, *after])
        return results[len(before) : len(before) + len(statements)]

    async def execute(
        self, query: TextClause, parameters: Mapping[str, object] | None = None
    ) -> "Answer":
        """As a connection of the pool does, for stores that are used on both."""
        [rows] = await self.ask((query, parameters or {}))
        return Answer(rows)

    async def end(self) -> None:
        """Commit what is still open."""
        if self._open:
            await self.ask(commit=True)

    async def abandon(self) -> None:
        """Undo what is still open; a line that is out of step ends."""
        if self._open and self._line.in_step:
            # Where that fails, the line is out of step.
            with suppress(psycopg.Error, TimeoutError):
                async with asyncio.timeout(_ROLLBACK_SECONDS):
                    await self._line.send([_ROLLBACK])
        if not self._line.in_step:
            await self._line.close()


class Answer(list[Row]):
    """The rows of one statement, as SQLAlchemy gives those of the pool."""

    def all(self) -> Sequence[Row]:
        return self

    def one(self) -> Row:
        [row] = self
        return row

    def one_or_none(self) -> Row | None:
        return self.one() if self else None

    def scalars(self) -> Sequence[Any]:
        return [row[0] for row in self]

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        return self.scalar_one() if self else None


# What a store needs to ask: a transaction of the pool, or one on a line.
Connection = AsyncConnection | Talk


@dataclass(frozen=True, slots=True)
class _Written:
    """A statement as its connections prepare it, and the order of its parameters."""

    name: bytes
    sql: bytes
    order: Sequence[str]


@cache
def _written(query: TextClause) -> _Written:
    compiled = query.compile(dialect=_DIALECT)
    name = b"line_%d" % next(_numbers)
    return _Written(name, str(compiled).encode(), compiled.positiontup or ())


def _prepare(server: PGconn, written: Iterable[_Written]) -> None:
    for each in written:
        server.send_prepare(each.name, each.sql)


def _exchange(server: PGconn, ask: Callable[[PGconn], None]) -> PQGen[Sequence[PGresult]]:
    """A result for each thing asked, all in one round trip."""
    ask(server)
    server.pipeline_sync()
    yield from generators.send(server)
    results: list[PGresult] = []
    while True:
        result = yield from generators.fetch(server)
        if result is None:  # between two commands
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            return results
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)
        results.append(result)


def _row_maker(result: PGresult) -> _MakeRow:
    names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
    row = namedtuple("Row", names, rename=True)  # type: ignore[misc]  # names come at run time
    return cast(_MakeRow, row._make)
