"""What the Account Owner calls: convert, call, convert."""

import grpc
from google.protobuf.message import Message

from clinic.export.v1 import export_service_pb2 as pb
from clinic.export.v1.export_service_pb2_grpc import ExportServiceServicer
from services.chassis.identity import current_caller
from services.chassis.paging import PageTokens
from services.export.api import convert
from services.export.storage.unit_of_work import Storage
from services.export.usecases.list_exports import list_exports

Context = grpc.aio.ServicerContext[Message, Message]


class ExportServicer(ExportServiceServicer):
    """`clinic.export.v1.ExportService`."""

    def __init__(self, storage: Storage, page_tokens: PageTokens) -> None:
        self._storage = storage
        self._tokens = page_tokens

    async def ListExports(
        self, request: pb.ListExportsRequest, context: Context
    ) -> pb.ListExportsResponse:
        cursor = self._tokens.open(request.page_token, convert.EXPORTS_QUERY)
        command = convert.to_list_exports(request.page_size, current_caller(), cursor)
        page = await self._storage.run(list_exports, command)
        token = self._tokens.seal(convert.EXPORTS_QUERY, (str(page.next),)) if page.next else ""
        return pb.ListExportsResponse(
            exports=map(convert.from_export, page.exports), next_page_token=token
        )
