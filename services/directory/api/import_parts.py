"""The stream of an import: its header, its chunks, and what is answered."""

import re
from collections.abc import AsyncIterator

from clinic.directory.v1 import directory_internal_service_pb2 as pb
from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.directory.api.fields import member_of, request_id_of
from services.directory.domain.errors import ImportMalformed
from services.directory.domain.importing import Counts, RowError, RowReason
from services.directory.usecases.import_profiles import Format, ImportProfiles

Parts = AsyncIterator[pb.ImportProfilesRequest]

_CHUNK_BYTES = 48 * 1024
_SYSTEM = re.compile(r"[a-z0-9.-]{1,64}")
_FORMATS = {
    Format.CSV: pb.IMPORT_FORMAT_CSV,
    Format.FHIR_NDJSON: pb.IMPORT_FORMAT_FHIR_NDJSON,
}
_REASONS = {
    RowReason.MALFORMED: pb.IMPORT_ROW_REASON_MALFORMED,
    RowReason.TOO_LONG: pb.IMPORT_ROW_REASON_TOO_LONG,
    RowReason.EXTERNAL_ID_INVALID: pb.IMPORT_ROW_REASON_EXTERNAL_ID_INVALID,
    RowReason.NAME_INVALID: pb.IMPORT_ROW_REASON_NAME_INVALID,
    RowReason.EMAIL_INVALID: pb.IMPORT_ROW_REASON_EMAIL_INVALID,
    RowReason.PHONE_INVALID: pb.IMPORT_ROW_REASON_PHONE_INVALID,
    RowReason.BIRTH_DATE_INVALID: pb.IMPORT_ROW_REASON_BIRTH_DATE_INVALID,
    RowReason.KIND_INVALID: pb.IMPORT_ROW_REASON_KIND_INVALID,
    RowReason.FLAG_INVALID: pb.IMPORT_ROW_REASON_FLAG_INVALID,
    RowReason.LINK_INVALID: pb.IMPORT_ROW_REASON_LINK_INVALID,
}


async def to_import_profiles(parts: Parts, caller: Caller) -> ImportProfiles:
    """What the first part asks for. Raises ImportMalformed where it is no header."""
    first = await anext(parts, pb.ImportProfilesRequest())
    if not first.HasField("header"):
        raise ImportMalformed("The first part of an import is its header", line="1")
    header = first.header
    request_id_of(header.request_id)
    if _SYSTEM.fullmatch(header.source_system) is None:
        raise InvalidArgument(
            "source_system is 1 to 64 small letters, digits, dots and hyphens",
            field="header.source_system",
        )
    return ImportProfiles(
        caller=caller,
        format=member_of(_FORMATS, header.format, field="header.format"),
        source_system=header.source_system,
        dry_run=header.dry_run,
    )


async def chunks_of(parts: Parts) -> AsyncIterator[bytes]:
    """The file behind the header."""
    async for part in parts:
        if part.HasField("header"):
            raise ImportMalformed("An import has one header", line="1")
        if len(part.chunk) > _CHUNK_BYTES:
            raise InvalidArgument(f"chunk has at most {_CHUNK_BYTES} bytes", field="chunk")
        yield part.chunk


def from_outcome(outcome: RowError | Counts) -> pb.ImportProfilesResponse:
    response = pb.ImportProfilesResponse
    if isinstance(outcome, RowError):
        return response(
            row_error=response.RowError(
                line=outcome.line, field=outcome.field, reason=_REASONS[outcome.reason]
            )
        )
    return response(
        summary=response.Summary(
            rows=outcome.rows,
            created=outcome.created,
            updated=outcome.updated,
            unchanged=outcome.unchanged,
            skipped=outcome.skipped,
            failed=outcome.failed,
            merged=outcome.merged,
            unmerged=outcome.unmerged,
        )
    )
