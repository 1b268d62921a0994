"""A refusal as google.rpc.Status with ErrorInfo, and back."""

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from services.chassis.errors import (
    Aborted,
    DomainError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)

DETAILS_KEY = "grpc-status-details-bin"

_RETRY_AFTER_ABORTED = 0.05
_RETRY_AFTER_UNAVAILABLE = 1.0


class RequestMalformed(InvalidArgument):
    """The bytes are no message of the method's request type."""

    reason = "REQUEST_MALFORMED"


class FieldRequired(InvalidArgument):
    """One or more REQUIRED fields are missing; `fields` are their paths in the request."""

    reason = "FIELD_REQUIRED"

    def __init__(self, fields: tuple[str, ...]) -> None:
        super().__init__(f"required: {', '.join(fields)}")
        self.fields = fields


def status_of(refusal: DomainError, service: str) -> Status:
    """The refusal as a client sees it."""
    return _status(
        grpc.StatusCode[refusal.code],
        refusal.message,
        ErrorInfo(reason=refusal.reason, domain=_domain(service), metadata=_metadata(refusal)),
        *_further_details(refusal),
    )


def internal_status(service: str, correlation_id: str) -> Status:
    """What a client may know of a fault of ours: where support finds it."""
    info = ErrorInfo(reason="INTERNAL", domain=_domain(service))
    info.metadata["correlation_id"] = correlation_id
    return _status(grpc.StatusCode.INTERNAL, "internal error", info)


def trailer_of(status: Status) -> tuple[str, bytes]:
    return (DETAILS_KEY, status.SerializeToString())


def code_of(status: Status) -> grpc.StatusCode:
    return _CODES[status.code]


def error_info(error: grpc.aio.AioRpcError) -> ErrorInfo | None:
    """The ErrorInfo that came with a failed call, if one did."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return _info_in(value)
    return None


def _info_in(trailer: bytes) -> ErrorInfo | None:
    info = ErrorInfo()
    try:
        unpacked = any(detail.Unpack(info) for detail in Status.FromString(trailer).details)
    except DecodeError:
        return None
    return info if unpacked else None


def _metadata(refusal: DomainError) -> dict[str, str]:
    match refusal:
        case FieldRequired():
            return {**refusal.metadata, "field": ",".join(refusal.fields)}
        case InvalidArgument(field=field) if field:
            return {**refusal.metadata, "field": field}
    return refusal.metadata


def _status(code: grpc.StatusCode, message: str, *details: Message) -> Status:
    status = Status(code=code.value[0], message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _further_details(refusal: DomainError) -> tuple[Message, ...]:
    match refusal:
        case FieldRequired():
            return (_bad_request(refusal.fields, "required"),)
        case InvalidArgument(field=field) if field:
            return (_bad_request((field,), refusal.message),)
        case ResourceExhausted():
            return (_retry_info(refusal.retry_after),)
        case Unavailable():
            return (_retry_info(_RETRY_AFTER_UNAVAILABLE),)
        case Aborted():
            return (_retry_info(_RETRY_AFTER_ABORTED),)
    return ()


def _bad_request(fields: tuple[str, ...], description: str) -> BadRequest:
    violations = [
        BadRequest.FieldViolation(field=field, description=description) for field in fields
    ]
    return BadRequest(field_violations=violations)


def _retry_info(seconds: float) -> RetryInfo:
    delay = Duration()
    delay.FromNanoseconds(int(seconds * 1e9))
    return RetryInfo(retry_delay=delay)


def _domain(service: str) -> str:
    return f"{service}.clinic"


_CODES = {code.value[0]: code for code in grpc.StatusCode}
