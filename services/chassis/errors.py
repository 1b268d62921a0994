"""Refusals that may cross the wire.

    DomainError
    ├── InvalidArgument      the request is wrong whatever the state
    ├── Unauthenticated      nobody we know is calling
    ├── PermissionDenied     known, and never allowed to do this
    ├── NotFound             absent, or not the caller's: the two look alike
    ├── AlreadyExists        the same id was used for something else
    ├── FailedPrecondition   right request, wrong state; a repeat will not help
    ├── OutOfRange           a position that is gone
    ├── Aborted              lost a race; a repeat may win it
    ├── ResourceExhausted    too much at once; repeat after `retry_after`
    ├── Unavailable          a part we need is out of reach; repeat
    ├── DeadlineExceeded     out of time
    └── Unimplemented        a method of the contract that this build does not serve

A service subclasses these with its own `reason`, which is stable and stands in its
`error_reason.proto`. Messages are for developers and may change; they and the metadata hold ids
only, never a name, an address or a text (R34).
"""

from enum import StrEnum
from typing import ClassVar


class Code(StrEnum):
    """The canonical gRPC codes that a refusal may carry; the edge maps them by name."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    ABORTED = "ABORTED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNIMPLEMENTED = "UNIMPLEMENTED"


class DomainError(Exception):
    """A refusal with a code, a stable reason and ids in its metadata."""

    code: ClassVar[Code]
    reason: ClassVar[str]

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class InvalidArgument(DomainError):
    """The request is wrong whatever the state; `field` names the offending field, if it is one."""

    code = Code.INVALID_ARGUMENT
    reason = "FIELD_INVALID"

    def __init__(self, message: str, *, field: str = "", **metadata: str) -> None:
        super().__init__(message, **metadata)
        self.field = field


class ClinicRequired(InvalidArgument):
    """A machine called for one clinic and named none in `clinic-id` metadata."""

    reason = "CLINIC_REQUIRED"


class Unauthenticated(DomainError):
    code = Code.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class PermissionDenied(DomainError):
    code = Code.PERMISSION_DENIED
    reason = "ROLE_NOT_ALLOWED"


class NotFound(DomainError):
    code = Code.NOT_FOUND
    reason = "NOT_FOUND"


class AlreadyExists(DomainError):
    code = Code.ALREADY_EXISTS
    reason = "IDEMPOTENCY_MISMATCH"


class FailedPrecondition(DomainError):
    code = Code.FAILED_PRECONDITION


class OutOfRange(DomainError):
    code = Code.OUT_OF_RANGE
    reason = "POSITION_GONE"


class Aborted(DomainError):
    code = Code.ABORTED
    reason = "CONFLICT"


class ResourceExhausted(DomainError):
    """Too much at once; `retry_after` is in seconds and becomes RetryInfo."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"

    def __init__(self, message: str, *, retry_after: float = 1.0, **metadata: str) -> None:
        super().__init__(message, **metadata)
        self.retry_after = retry_after


class RateLimited(ResourceExhausted):
    """One caller, or its clinic, asks more often than it may."""

    reason = "RATE_LIMITED"


class Unavailable(DomainError):
    code = Code.UNAVAILABLE
    reason = "UNAVAILABLE"


class DeadlineExceeded(DomainError):
    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class Unimplemented(DomainError):
    code = Code.UNIMPLEMENTED
    reason = "UNIMPLEMENTED"


class SessionEnded(Unauthenticated):
    """The session of a person's token is unknown or has ended: sign in again."""

    reason = "SESSION_ENDED"
