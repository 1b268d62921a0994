"""CSV by RFC 4180, with the names of the columns in the first line."""

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence

from services.directory.domain.errors import ImportMalformed
from services.directory.domain.importing import (
    PersonRow,
    Row,
    RowError,
    RowReason,
    RowRefused,
    checked_external_id,
)
from services.directory.domain.profile import ProfileChanges, ProfileKind
from services.directory.formats.lines import Record, records

_NEEDED = frozenset({"external_id", "display_name"})
_TEXTS = ("display_name", "preferred_name", "email", "phone", "birth_date")
_COLUMNS = _NEEDED | {"kind", "do_not_email", *_TEXTS}
_FIELDS = {name: name for name in _TEXTS}
_KINDS = {"": None, "patient": ProfileKind.PATIENT, "contact": ProfileKind.CONTACT}
_FLAGS = {"": None, "true": True, "false": False}


async def csv_rows(chunks: AsyncIterator[bytes]) -> AsyncIterator[Row]:
    """Every row in order. Raises ImportMalformed where the names of the columns are wrong."""
    columns: Sequence[str] | None = None
    async for record in records(chunks, ends_inside_quotes):
        if columns is None:
            columns = _columns(record)
        else:
            yield _row(record, columns)
    if columns is None:
        raise ImportMalformed("The file is empty", line="1")


def ends_inside_quotes(line: bytes, open: bool) -> bool:
    """Whether a quoted value goes on behind this line's end; a quote opens only where a value
    begins, so that a stray one stays in its row."""
    at = 0
    while True:
        if open:
            at = _closing_quote(line, at)
            if at < 0:
                return True
            open = False
        elif line[at : at + 1] == b'"':
            open, at = True, at + 1
            continue
        comma = line.find(b",", at)
        if comma < 0:
            return False
        at = comma + 1


def _closing_quote(line: bytes, at: int) -> int:
    """Behind the quote that closes a value, -1 where none does; two quotes are one in the text."""
    while (quote := line.find(b'"', at)) >= 0:
        if line[quote + 1 : quote + 2] != b'"':
            return quote + 1
        at = quote + 2
    return -1


def _columns(record: Record) -> Sequence[str]:
    try:
        names = [name.strip().lower() for name in _cells(record)]
    except RowRefused:
        names = []
    if len(set(names)) < len(names) or not _NEEDED <= set(names) <= _COLUMNS:
        raise ImportMalformed(
            "The first line names each column once, external_id and display_name among them",
            line=str(record.line),
        )
    return names


def _row(record: Record, columns: Sequence[str]) -> Row:
    try:
        cells = _cells(record)
        if len(cells) != len(columns):
            raise RowRefused(RowReason.MALFORMED)
        return _person(record.line, dict(zip(columns, cells, strict=True)))
    except RowRefused as refused:
        return RowError(record.line, refused.field, refused.reason)


def _cells(record: Record) -> list[str]:
    if record.content is None:
        raise RowRefused(RowReason.TOO_LONG)
    try:
        text = record.content.decode()
        [cells] = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (ValueError, csv.Error):
        raise RowRefused(RowReason.MALFORMED) from None
    return cells


def _person(line: int, cells: Mapping[str, str]) -> PersonRow:
    kind, flag = cells.get("kind", "").strip(), cells.get("do_not_email", "").strip()
    if kind.lower() not in _KINDS:
        raise RowRefused(RowReason.KIND_INVALID, "kind")
    if flag.lower() not in _FLAGS:
        raise RowRefused(RowReason.FLAG_INVALID, "do_not_email")
    return PersonRow(
        line=line,
        external_id=checked_external_id(cells["external_id"], field="external_id"),
        person=ProfileChanges(
            kind=_KINDS[kind.lower()],
            display_name=cells["display_name"],
            preferred_name=cells.get("preferred_name"),
            email=cells.get("email"),
            phone=cells.get("phone"),
            birth_date=cells.get("birth_date"),
            do_not_email=_FLAGS[flag.lower()],
        ),
        fields=_FIELDS,
    )
