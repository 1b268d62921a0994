"""Rows as parameters: many as one JSON array, or a single one by its values.

As arrays, many would be a parameter for each column, dumped value by value: 13 times as dear. For
one row, its values cost Postgres half of what an array does.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

JsonRow = dict[str, object]
JsonRows = list[JsonRow]


def to_json(rows: object) -> str:
    """Rows, or rows by name; ids, times, durations and bytes in the form that Postgres reads."""
    return json.dumps(rows, default=_plain)


def many(name: str, columns: str, array: str) -> str:
    """SQL: the rows of a JSON array. `columns` are their names and types, as in a table."""
    return f"jsonb_to_recordset({array}) as {name} ({columns})"


def one(name: str, columns: str) -> str:
    """SQL: one row, of the parameters that `values` gives."""
    pairs = (column.split() for column in columns.split(","))
    casts = (f"cast(:{name}_{column} as {type}) as {column}" for column, type in pairs)
    return f"(select {', '.join(casts)}) as {name}"


def values(name: str, row: Mapping[str, object]) -> Mapping[str, object]:
    """The parameters of `one`."""
    return {f"{name}_{column}": value for column, value in row.items()}


def insert(table: str, columns: str, rows: str) -> str:
    """SQL: insert rows of `many` or `one`, which have these columns."""
    names = ", ".join(column.split()[0] for column in columns.split(","))
    return f"insert into {table} ({names}) select {names} from {rows}"


def _plain(value: UUID | datetime | timedelta | bytes) -> str:
    match value:
        case bytes():
            return f"\\x{value.hex()}"
        case timedelta():
            return f"{value.total_seconds():f} seconds"  # never as 1e-06
    return str(value)
