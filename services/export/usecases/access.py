"""The only way from an id in a request to an export."""

from uuid import UUID

from services.export.domain.errors import ExportNotFound
from services.export.domain.export import Export
from services.export.storage.unit_of_work import Transaction


async def access_export(tx: Transaction, export_id: UUID, *, lock: bool = False) -> Export:
    """An export of the clinic that is called for. Raises ExportNotFound."""
    export = await tx.exports.get(export_id, lock=lock)
    if export is None:
        raise ExportNotFound("There is no such export")
    return export
