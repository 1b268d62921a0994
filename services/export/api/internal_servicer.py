"""What ops call: convert, call, convert."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

import grpc
from google.protobuf.message import Message

from clinic.export.v1 import export_internal_service_pb2 as pb
from clinic.export.v1.export_internal_service_pb2_grpc import ExportInternalServiceServicer
from services.chassis.identity import current_caller
from services.chassis.ids import parse_id
from services.chassis.paging import PageTokens
from services.export.api import convert
from services.export.clients.directory import Directory
from services.export.formats.shelf import Shelf
from services.export.storage.unit_of_work import Storage
from services.export.usecases.cancel_export import cancel_export
from services.export.usecases.create_export import create_export
from services.export.usecases.download_export import DownloadExport, download_export
from services.export.usecases.get_export import GetExport, get_export
from services.export.usecases.list_exports import list_exports

Context = grpc.aio.ServicerContext[Message, Message]


class ExportInternalServicer(ExportInternalServiceServicer):
    """`clinic.export.v1.ExportInternalService`."""

    def __init__(
        self,
        storage: Storage,
        directory: Directory,
        shelf: Shelf,
        page_tokens: PageTokens,
        *,
        cutoff: timedelta,
    ) -> None:
        self._storage = storage
        self._directory = directory
        self._shelf = shelf
        self._tokens = page_tokens
        self._cutoff = cutoff

    async def CreateExport(
        self, request: pb.CreateExportRequest, context: Context
    ) -> pb.CreateExportResponse:
        export = await create_export(
            convert.to_create_export(request, current_caller()),
            storage=self._storage,
            directory=self._directory,
            cutoff=self._cutoff,
        )
        return pb.CreateExportResponse(export=convert.from_export(export))

    async def GetExport(
        self, request: pb.GetExportRequest, context: Context
    ) -> pb.GetExportResponse:
        export_id = parse_id(request.export_id, field="export_id")
        command = GetExport(caller=current_caller(), export_id=export_id)
        export = await self._storage.run(get_export, command)
        return pb.GetExportResponse(export=convert.from_export(export))

    async def ListExports(
        self, request: pb.ExportInternalServiceListExportsRequest, context: Context
    ) -> pb.ExportInternalServiceListExportsResponse:
        cursor = self._tokens.open(request.page_token, convert.EXPORTS_QUERY)
        command = convert.to_list_exports(request.page_size, current_caller(), cursor)
        page = await self._storage.run(list_exports, command)
        token = self._tokens.seal(convert.EXPORTS_QUERY, (str(page.next),)) if page.next else ""
        return pb.ExportInternalServiceListExportsResponse(
            exports=map(convert.from_export, page.exports), next_page_token=token
        )

    async def CancelExport(
        self, request: pb.CancelExportRequest, context: Context
    ) -> pb.CancelExportResponse:
        command = convert.to_cancel_export(request, current_caller())
        export = await self._storage.run(cancel_export, command)
        return pb.CancelExportResponse(export=convert.from_export(export))

    async def DownloadExport(
        self, request: pb.DownloadExportRequest, context: Context
    ) -> AsyncGenerator[pb.DownloadExportResponse, None]:
        export_id = parse_id(request.export_id, field="export_id")
        command = DownloadExport(caller=current_caller(), export_id=export_id)
        chunks = download_export(
            command, storage=self._storage, directory=self._directory, shelf=self._shelf
        )
        async with aclosing(chunks):
            async for name, chunk in chunks:
                yield pb.DownloadExportResponse(file_name=name, chunk=chunk)
