"""Every refusal of this service; each reason stands in `error_reason.proto`."""

from services.chassis.errors import FailedPrecondition, NotFound, PermissionDenied


class OwnerRequired(PermissionDenied):
    reason = "OWNER_REQUIRED"


class RequesterNotOwner(PermissionDenied):
    """One answer for every address that is not the owner's, so that it teaches nothing (R43)."""

    reason = "REQUESTER_NOT_OWNER"


class StaffMemberNotFound(NotFound):
    reason = "STAFF_MEMBER_NOT_FOUND"


class ExportNotFound(NotFound):
    reason = "EXPORT_NOT_FOUND"


class ExportNotReady(FailedPrecondition):
    reason = "EXPORT_NOT_READY"


class OwnerChanged(FailedPrecondition):
    """Whoever asked is not, or not under this address, who would get it (I24)."""

    reason = "OWNER_CHANGED"


class ExportFinished(FailedPrecondition):
    reason = "EXPORT_FINISHED"
