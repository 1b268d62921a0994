"""Every refusal of this service; each reason stands in `error_reason.proto`."""

from uuid import UUID

from services.chassis.errors import (
    Code,
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from services.messaging_rule import WhyNot


class ConversationNotFound(NotFound):
    reason = "CONVERSATION_NOT_FOUND"


class MessageNotFound(NotFound):
    reason = "MESSAGE_NOT_FOUND"


class ProfileNotFound(NotFound):
    reason = "PROFILE_NOT_FOUND"


class PatientCannotInitiate(PermissionDenied):
    reason = "PATIENT_CANNOT_INITIATE"


class NotSender(PermissionDenied):
    reason = "NOT_SENDER"


class RecipientIsStaff(InvalidArgument):
    reason = "RECIPIENT_IS_STAFF"


class NoGroups(InvalidArgument):
    reason = "NO_GROUPS"


class AttachmentsUnsupported(InvalidArgument):
    reason = "ATTACHMENTS_UNSUPPORTED"


class BodyBlank(InvalidArgument):
    reason = "BODY_BLANK"


class BodyTooLong(InvalidArgument):
    reason = "BODY_TOO_LONG"


class ReadBeyondLast(InvalidArgument):
    reason = "READ_BEYOND_LAST"


class DeleteWindowClosed(FailedPrecondition):
    reason = "DELETE_WINDOW_CLOSED"


class ConversationArchived(FailedPrecondition):
    """The profile was merged away; the metadata lead to the surviving one (I36)."""

    reason = "CONVERSATION_ARCHIVED"


class ConversationReadOnly(FailedPrecondition):
    reason = "CONVERSATION_READ_ONLY"


class ProfileMerged(FailedPrecondition):
    reason = "PROFILE_MERGED"


class MessagingDisabled(FailedPrecondition):
    reason = "MESSAGING_DISABLED"


class MessagingBlocked(FailedPrecondition):
    reason = "MESSAGING_BLOCKED"


class RecipientDoNotEmail(FailedPrecondition):
    reason = "RECIPIENT_DO_NOT_EMAIL"


class Unconfirmed(DomainError):
    """A refusal that rests on the replica's facts; the directory confirms it before it is given.

    Never leaves this service: a use case looks the facts up, tries again, and then raises
    `refusal` (design section 3).
    """

    code = Code.UNAVAILABLE
    reason = "UNAVAILABLE"

    def __init__(
        self, refusal: DomainError, *, staff_id: UUID, profile_id: UUID, facts_missing: bool
    ) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.staff_id = staff_id
        self.profile_id = profile_id
        self.facts_missing = facts_missing


_REFUSALS: dict[WhyNot, tuple[type[FailedPrecondition], str]] = {
    WhyNot.PROFILE_MERGED: (
        ConversationArchived,
        "The profile was merged into another; write to the surviving profile",
    ),
    WhyNot.STAFF_INACTIVE: (
        ConversationReadOnly,
        "The practitioner is no longer active; the conversation can be read only",
    ),
    WhyNot.MESSAGING_DISABLED: (
        MessagingDisabled,
        "The clinic has messaging off; full access can turn it on",
    ),
    WhyNot.MESSAGING_BLOCKED: (MessagingBlocked, "Messaging is blocked for this profile"),
    WhyNot.RECIPIENT_DO_NOT_EMAIL: (
        RecipientDoNotEmail,
        "The profile is marked Do Not Email and receives no messages",
    ),
}


def refusal_to_send(why: WhyNot) -> FailedPrecondition:
    """What a sender is told in a thread."""
    error, message = _REFUSALS[why]
    return error(message)


def refusal_to_start(why: WhyNot) -> FailedPrecondition:
    """What a staff member is told who wants to start a thread."""
    if why is WhyNot.PROFILE_MERGED:
        return ProfileMerged("The profile was merged into another")
    return refusal_to_send(why)
