"""Withdraw an export that is not built yet."""

from dataclasses import dataclass, replace
from uuid import UUID

from services.chassis.identity import Caller
from services.export.domain.export import Export, State, check_cancellable
from services.export.storage.unit_of_work import Transaction
from services.export.usecases.access import access_export


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelExport:
    caller: Caller
    export_id: UUID
    request_id: UUID


async def cancel_export(tx: Transaction, command: CancelExport) -> Export:
    """One that is cancelled already stays so. Raises ExportNotFound, ExportFinished."""
    export = await access_export(tx, command.export_id, lock=True)
    await tx.earlier_result(
        command.request_id,
        method="CancelExport",
        content=str(export.id),
        result_id=export.id,
    )
    if export.state is State.CANCELLED:
        return export
    check_cancellable(export)
    await tx.exports.cancel(export)
    await tx.note("cancel_export", export.id)
    return replace(export, state=State.CANCELLED)
