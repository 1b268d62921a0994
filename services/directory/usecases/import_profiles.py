"""People from the file of another system, in constant memory, known by their ids over there.

Rows are saved in short transactions as they arrive; a file that is sent again changes nothing.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum

from services.chassis.identity import Caller
from services.directory.domain.importing import Counts, PersonRow, Row, RowError
from services.directory.formats.csv_rows import csv_rows
from services.directory.formats.fhir_rows import fhir_rows
from services.directory.storage.unit_of_work import Storage
from services.directory.usecases.save_rows import SaveRows, save_rows
from services.directory.usecases.settle_links import settle_links

_BATCH = 200


class Format(StrEnum):
    CSV = "CSV"
    FHIR_NDJSON = "FHIR_NDJSON"


_READERS: dict[Format, Callable[[AsyncIterator[bytes]], AsyncIterator[Row]]] = {
    Format.CSV: csv_rows,
    Format.FHIR_NDJSON: fhir_rows,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportProfiles:
    """`dry_run`: every row is checked and told as if it were saved, and none is."""

    caller: Caller
    format: Format
    source_system: str
    dry_run: bool


async def import_profiles(
    command: ImportProfiles, chunks: AsyncIterator[bytes], *, storage: Storage
) -> AsyncIterator[RowError | Counts]:
    """Each row that was left out, in order, and at the end how it went."""
    total = Counts()
    save = storage.rehearse if command.dry_run else storage.run_long
    async for batch in _batches(_READERS[command.format](chunks)):
        rows = SaveRows(caller=command.caller, source_system=command.source_system, rows=batch)
        saved = await save(save_rows, rows)
        for error in saved.errors:
            yield error
        total = total.plus(saved.counts)
    if not command.dry_run:
        total = total.plus(await settle_links(command.caller, command.source_system, storage))
    yield total


async def _batches(rows: AsyncIterator[Row]) -> AsyncIterator[tuple[Row, ...]]:
    """Rows for one transaction each; nobody is in one twice, so that the second sees the first."""
    batch: list[Row] = []
    seen: set[str] = set()
    async for row in rows:
        external_id = row.external_id if isinstance(row, PersonRow) else ""
        if len(batch) == _BATCH or external_id in seen:
            yield tuple(batch)
            batch, seen = [], set()
        batch.append(row)
        if external_id:
            seen.add(external_id)
    if batch:
        yield tuple(batch)
