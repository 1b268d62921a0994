"""A connection of its own for the few statements that a process repeats all day long.

Sequencer, relay and tail each run every few milliseconds under load; a pool's checkout, BEGIN and
COMMIT would cost them five times what their statements do.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace

import psycopg
from psycopg.rows import kwargs_row
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.psycopg import dialect

Statement = tuple[TextClause, Mapping[str, object]]
Rows = Sequence[SimpleNamespace]

_DIALECT = dialect()  # type: ignore[no-untyped-call]
# They look up by key, whatever the tables' sizes were when a plan was made.
_KEYED = " -c enable_seqscan=off -c plan_cache_mode=force_generic_plan"


class Line:
    """One connection, opened when it is first used and again after it broke."""

    def __init__(self, url: str, *, name: str, options: str) -> None:
        self._url = url
        self._name = name
        self._options = options + _KEYED
        self._connection: psycopg.AsyncConnection[SimpleNamespace] | None = None
        self._turn = asyncio.Lock()

    async def run(self, statements: Sequence[Statement], *, deadline: float) -> Sequence[Rows]:
        """The rows of each statement, of one transaction in one round trip.

        Each sees what others committed before it began. Raises psycopg.Error, and TimeoutError
        after `deadline` seconds; what is broken off is rolled back.
        """
        async with self._turn, asyncio.timeout(deadline):
            connection = await self._open()
            try:
                return await _piped(connection, statements)
            except BaseException:
                await self.close()
                raise

    async def _open(self) -> psycopg.AsyncConnection[SimpleNamespace]:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                self._url,
                autocommit=True,
                row_factory=kwargs_row(SimpleNamespace),
                application_name=self._name,
                connect_timeout=3,
                options=self._options,
            )
        return self._connection

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


async def _piped(
    connection: psycopg.AsyncConnection[SimpleNamespace], statements: Sequence[Statement]
) -> Sequence[Rows]:
    if len(statements) == 1:
        [(query, parameters)] = statements
        return [await _rows(await connection.execute(_written(query), parameters))]
    async with connection.pipeline():
        await connection.execute("begin")
        cursors = [
            await connection.execute(_written(query), parameters)
            for query, parameters in statements
        ]
        await connection.execute("commit")
    return [await _rows(cursor) for cursor in cursors]


async def _rows(cursor: psycopg.AsyncCursor[SimpleNamespace]) -> Rows:
    return await cursor.fetchall() if cursor.description else []


@cache
def _written(query: TextClause) -> bytes:
    """As the driver reads it."""
    return str(query.compile(dialect=_DIALECT)).encode()
