"""Connections of their own for the few transactions that a process repeats all day long.

Everything that is asked at once goes to the server as one message and comes back as one, with
plans that each connection has made once: a pool's checkout, BEGIN, COMMIT and a round trip for
each statement would cost several times what the statements do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from types import SimpleNamespace

import psycopg
from psycopg import sql
from psycopg.rows import kwargs_row
from sqlalchemy import Row, TextClause
from sqlalchemy.dialects.postgresql.base import PGDialect

Statement = tuple[TextClause, Mapping[str, object]]
Rows = Sequence[SimpleNamespace]
# As a line gives it, or the pool.
AnyRow = SimpleNamespace | Row[tuple[object, ...]]
Driver = psycopg.AsyncConnection[SimpleNamespace]

_numbers = count()
_DIALECT = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
# They look up by key, whatever the tables' sizes were when a plan was made.
_KEYED = (
    "".join(f" -c enable_{way}=off" for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"))
    + " -c plan_cache_mode=force_generic_plan"
)


class Line:
    """One connection, opened when it is first used and again after it broke."""

    def __init__(self, url: str, *, name: str, options: str) -> None:
        self._url = url
        self._name = name
        self._options = options + _KEYED
        self._driver: Driver | None = None
        self._prepared: set[str] = set()

    async def open(self) -> None:
        if self._driver is None or self._driver.closed:
            self._prepared.clear()
            self._driver = await psycopg.AsyncConnection.connect(
                self._url,
                autocommit=True,
                row_factory=kwargs_row(SimpleNamespace),
                application_name=self._name,
                connect_timeout=3,
                prepare_threshold=None,
                options=self._options,
            )

    async def send(
        self, statements: Sequence[Statement], *, begin: bool, commit: bool
    ) -> Sequence[Rows]:
        """The rows of each statement; each sees what others committed before it began."""
        assert self._driver is not None
        written = [_written(query) for query, _ in statements]
        new = {each.name: each for each in written if each.name not in self._prepared}
        script = [each.prepare.encode() for each in new.values()]
        script += [b"begin"] * begin
        script += [
            each.execute(self._driver, parameters)
            for each, (_, parameters) in zip(written, statements, strict=True)
        ]
        script += [b"commit"] * commit
        cursor = await self._driver.cursor().execute(b"; ".join(script))
        self._prepared.update(new)
        results = await _all_rows(cursor)
        first = len(new) + begin
        return results[first : first + len(statements)]

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
        begin, self._open = not self._open, not commit
        alone = begin and commit and len(statements) == 1
        return await self._line.send(
            statements, begin=begin and not alone, commit=commit and not alone
        )

    async def end(self) -> None:
        """Commit what is still open."""
        if self._open:
            await self.ask(commit=True)


@dataclass(frozen=True, slots=True)
class _Written:
    """A statement as its connections prepare it, and the order of its parameters."""

    name: str
    prepare: str
    order: Sequence[str]

    def execute(self, driver: Driver, parameters: Mapping[str, object]) -> bytes:
        if not self.order:
            return f"execute {self.name}".encode()
        values = [sql.Literal(parameters[name]).as_bytes(driver) for name in self.order]
        return b"execute %b(%b)" % (self.name.encode(), b", ".join(values))


@cache
def _written(query: TextClause) -> _Written:
    compiled = query.compile(dialect=_DIALECT)
    name = f"line_{next(_numbers)}"
    return _Written(name, f"prepare {name} as {compiled}", compiled.positiontup or ())


async def _all_rows(cursor: psycopg.AsyncCursor[SimpleNamespace]) -> Sequence[Rows]:
    """Of each result, whether it has rows or not."""
    results = [await _rows(cursor)]
    while cursor.nextset():
        results.append(await _rows(cursor))
    return results


async def _rows(cursor: psycopg.AsyncCursor[SimpleNamespace]) -> Rows:
    return await cursor.fetchall() if cursor.description else []
