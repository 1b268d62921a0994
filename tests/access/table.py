"""The table of who may do what, as data: read by people, and by the tests."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import grpc

from deploy.local.ports import SERVICES
from tests.support.rpcs import rpcs

FOLDER = Path(__file__).parent
_EVERY_SERVICE = "*."


@dataclass(frozen=True, slots=True)
class Mark:
    """What an answer has to be: its code and, unless it is OK, its reason."""

    name: str
    code: grpc.StatusCode
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One RPC about one object; `marks` by column. `none_is` is the reason that `none` means."""

    rpc: str
    object: str
    none_is: str
    marks: dict[str, str]


def _cells(name: str) -> Sequence[Sequence[str]]:
    with (FOLDER / name).open(newline="") as file:
        return [[cell.strip() for cell in line] for line in csv.reader(file)]


@cache
def columns() -> tuple[str, ...]:
    """The kinds of caller."""
    return tuple(_cells("table.csv")[0][3:])


@cache
def rows() -> tuple[Row, ...]:
    """Every row, those of `*.operations` once for each service."""
    found = []
    for rpc, object, none_is, *marks in _cells("table.csv")[1:]:
        names = [rpc]
        if rpc.startswith(_EVERY_SERVICE):
            names = [f"{service}.{rpc.removeprefix(_EVERY_SERVICE)}" for service in SERVICES]
        of_column = dict(zip(columns(), marks, strict=True))
        found += [Row(name, object, none_is, of_column) for name in names]
    return tuple(found)


def rows_of(rpc: str) -> Sequence[Row]:
    return [row for row in rows() if row.rpc == rpc]


@cache
def marks() -> dict[str, Mark]:
    lines = _cells("marks.csv")[1:]
    return {name: Mark(name, grpc.StatusCode[code], reason) for name, code, reason, _ in lines}


def names_without_row() -> set[str]:
    return {rpc.name for rpc in rpcs()} - {row.rpc for row in rows()}
