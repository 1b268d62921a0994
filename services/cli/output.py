"""What a command tells: data for programs, and tables that fit a terminal for people."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

Row: TypeAlias = tuple[str | Text, ...]

_ID_LENGTH = 36


@dataclass(frozen=True, slots=True)
class Told:
    """The same answer twice: `data` for --json, `shown` for the terminal.

    `ok` decides the exit code; `wraps` is false for what is copied whole, such as a token.
    """

    data: Json
    shown: RenderableType
    ok: bool = True
    wraps: bool = True


def tell(told: Told, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told.data, indent=2, ensure_ascii=False))
    else:
        Console(highlight=False).print(told.shown, soft_wrap=not told.wraps)


def as_data(message: Message) -> dict[str, Json]:
    """A message as JSON, with the names of the proto and all of its plain fields."""
    data: dict[str, Json] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return data


def plain(text: str) -> Text:
    """Text of other people: neither markup nor control characters reach the terminal."""
    return Text("".join(_visible(character) for character in text))


def lines(*sentences: str | Text) -> RenderableType:
    return Group(*(plain(each) if isinstance(each, str) else each for each in sentences))


def table(columns: Sequence[str], rows: Iterable[Row], *, empty: str) -> Group:
    """A table; `empty` is what is said where there are no rows. No id is cut in two."""
    cells = [[plain(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, column in enumerate(columns):
        holds_ids = any(_holds_id(row[place]) for row in cells)
        shown.add_column(column, overflow="fold", width=_ID_LENGTH if holds_ids else None)
    for row in cells:
        shown.add_row(*row)
    return Group(shown) if cells else Group(plain(empty))


def details(pairs: Iterable[tuple[str, str | Text]]) -> Table:
    """One thing, its parts below each other."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="dim")
    shown.add_column(overflow="fold")
    for name, value in pairs:
        shown.add_row(name, plain(value) if isinstance(value, str) else value)
    return shown


def named(name: str, *ids: str) -> Text:
    """A name with ids below, whole, to copy."""
    below = [(f"\n{id}", "dim") for id in ids]
    return Text.assemble(plain(name or "(no name yet)"), *below)


def when(time: Timestamp) -> str:
    """In the reader's own time zone; empty where the time is not set."""
    if not time.seconds:
        return ""
    return datetime.fromtimestamp(time.seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def word(enum_name: str, prefix: str) -> str:
    """`STAFF_KIND_PRACTITIONER` as `practitioner`; the zero value as nothing."""
    name = enum_name.removeprefix(prefix)
    return "" if name == "UNSPECIFIED" else name.lower().replace("_", " ")


def _holds_id(cell: Text) -> bool:
    return any(len(word) == _ID_LENGTH for word in cell.plain.split())


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Co", "Cs"):
        return character
    # Joiners that scripts and emoji are written with.
    return character if character in "\u200c\u200d" else "\ufffd"
