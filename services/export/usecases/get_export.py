"""One export as it now is."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.export.domain.export import Export
from services.export.storage.unit_of_work import Transaction
from services.export.usecases.access import access_export


@dataclass(frozen=True, slots=True, kw_only=True)
class GetExport:
    caller: Caller
    export_id: UUID


async def get_export(tx: Transaction, command: GetExport) -> Export:
    """Raises ExportNotFound."""
    return await access_export(tx, command.export_id)
