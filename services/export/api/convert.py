"""Protobuf to commands, results to protobuf."""

from uuid import UUID

from clinic.export.v1 import export_internal_service_pb2 as pb
from clinic.export.v1 import export_pb2
from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.chassis.ids import parse_id
from services.chassis.paging import Cursor, page_size
from services.export.domain.export import Export, Scope, State
from services.export.usecases.cancel_export import CancelExport
from services.export.usecases.create_export import CreateExport
from services.export.usecases.list_exports import ListExports

# What a page token of the exports is tied to, beside caller and clinic.
EXPORTS_QUERY = "exports"

_STATES = {
    State.APPROVED: export_pb2.EXPORT_STATE_APPROVED,
    State.RUNNING: export_pb2.EXPORT_STATE_RUNNING,
    State.READY: export_pb2.EXPORT_STATE_READY,
    State.FAILED: export_pb2.EXPORT_STATE_FAILED,
    State.CANCELLED: export_pb2.EXPORT_STATE_CANCELLED,
    State.EXPIRED: export_pb2.EXPORT_STATE_EXPIRED,
}
_SCOPES = {Scope.STAFF_MEMBER: export_pb2.EXPORT_SCOPE_STAFF_MEMBER}
_OFFERED_SCOPES = (export_pb2.EXPORT_SCOPE_UNSPECIFIED, export_pb2.EXPORT_SCOPE_STAFF_MEMBER)


def to_list_exports(size: int, caller: Caller, cursor: Cursor | None) -> ListExports:
    return ListExports(
        caller=caller,
        page_size=page_size(size),
        before=None if cursor is None else UUID(str(cursor[0])),
    )


def to_create_export(request: pb.CreateExportRequest, caller: Caller) -> CreateExport:
    if request.scope not in _OFFERED_SCOPES:
        raise InvalidArgument("only one staff member's messages are exported", field="scope")
    return CreateExport(
        caller=caller,
        staff_id=parse_id(request.staff_id, field="staff_id"),
        requester_address=request.requester_address,
        request_id=parse_id(request.request_id, field="request_id"),
    )


def to_cancel_export(request: pb.CancelExportRequest, caller: Caller) -> CancelExport:
    return CancelExport(
        caller=caller,
        export_id=parse_id(request.export_id, field="export_id"),
        request_id=parse_id(request.request_id, field="request_id"),
    )


def from_export(export: Export) -> export_pb2.Export:
    return export_pb2.Export(
        export_id=str(export.id),
        staff_id=str(export.staff_id),
        state=_STATES[export.state],
        create_time=export.created_at,
        cutoff_time=export.cutoff_at,
        expire_time=export.expires_at,
        scope=_SCOPES[export.scope],
        conversation_count=export.conversations,
        message_count=export.messages,
    )
