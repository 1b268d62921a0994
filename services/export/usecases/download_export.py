"""Hand over the files of an export: to ops, for the Account Owner and nobody else (R45)."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.export.clients.directory import Directory
from services.export.domain.export import check_ready
from services.export.formats.shelf import CHUNK_BYTES, Shelf
from services.export.storage.unit_of_work import Storage, Transaction
from services.export.usecases.get_export import GetExport, get_export
from services.export.usecases.requester import verify_unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadExport:
    caller: Caller
    export_id: UUID


async def download_export(
    command: DownloadExport, *, storage: Storage, directory: Directory, shelf: Shelf
) -> AsyncGenerator[tuple[str, bytes], None]:
    """Name and next chunk of each file, one file after another.

    Raises ExportNotFound, ExportNotReady, OwnerChanged, Unavailable.
    """
    asked = GetExport(caller=command.caller, export_id=command.export_id)
    export = await storage.run(get_export, asked)
    check_ready(export)
    await verify_unchanged(command.caller, export, storage=storage, directory=directory)
    await storage.run(_note_download, command)
    with shelf.opened(export.id) as files:
        for name, file in files:
            yield name, await asyncio.to_thread(file.read, CHUNK_BYTES)
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield name, chunk


async def _note_download(tx: Transaction, command: DownloadExport) -> None:
    await tx.note("download_export", command.export_id)
