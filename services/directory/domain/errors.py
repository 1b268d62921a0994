"""Every refusal of this service; each reason stands in `error_reason.proto`."""

from services.chassis.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)


class ClinicNotFound(NotFound):
    reason = "CLINIC_NOT_FOUND"


class StaffMemberNotFound(NotFound):
    reason = "STAFF_MEMBER_NOT_FOUND"


class ProfileNotFound(NotFound):
    reason = "PROFILE_NOT_FOUND"


class MergeNotFound(NotFound):
    reason = "MERGE_NOT_FOUND"


class SessionNotFound(NotFound):
    reason = "SESSION_NOT_FOUND"


class StandardAccessRequired(PermissionDenied):
    reason = "STANDARD_ACCESS_REQUIRED"


class FullAccessRequired(PermissionDenied):
    reason = "FULL_ACCESS_REQUIRED"


class OwnerRequired(PermissionDenied):
    reason = "OWNER_REQUIRED"


class NotOneself(PermissionDenied):
    reason = "NOT_ONESELF"


class StaffInactive(FailedPrecondition):
    reason = "STAFF_INACTIVE"


class OwnerCannotBeDeactivated(FailedPrecondition):
    reason = "OWNER_CANNOT_BE_DEACTIVATED"


class SelfMerge(InvalidArgument):
    reason = "SELF_MERGE"


class ProfileMerged(FailedPrecondition):
    """The metadata lead to the profile that survives."""

    reason = "PROFILE_MERGED"


class MergeCycle(FailedPrecondition):
    reason = "MERGE_CYCLE"


class MergeUndone(FailedPrecondition):
    reason = "MERGE_UNDONE"


class StaffMergeUnsupported(FailedPrecondition):
    reason = "STAFF_MERGE_UNSUPPORTED"


class EtagStale(Aborted):
    reason = "ETAG_STALE"


class ImportMalformed(InvalidArgument):
    reason = "IMPORT_MALFORMED"
