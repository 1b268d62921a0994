"""Every refusal of this service; each reason stands in `error_reason.proto`."""

from typing import ClassVar
from uuid import UUID

from services.chassis.errors import (
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


class RefusedByState(FailedPrecondition):
    """Rests on facts of the directory, and is confirmed there before it is given."""


class ConversationArchived(RefusedByState):
    """The profile was merged away; the metadata lead to the surviving one (I36)."""

    reason = "CONVERSATION_ARCHIVED"


class ConversationReadOnly(RefusedByState):
    reason = "CONVERSATION_READ_ONLY"


class ProfileMerged(RefusedByState):
    reason = "PROFILE_MERGED"


class MessagingDisabled(RefusedByState):
    reason = "MESSAGING_DISABLED"


class MessagingBlocked(RefusedByState):
    reason = "MESSAGING_BLOCKED"


class RecipientDoNotEmail(RefusedByState):
    reason = "RECIPIENT_DO_NOT_EMAIL"


class FactsMissing(NotFound):
    """The replica holds nothing of a party yet; looked up, then answered as not found."""

    reason = "CONVERSATION_NOT_FOUND"


_SEND_REFUSALS: dict[WhyNot, tuple[type[RefusedByState], str]] = {
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


def refusal_to_send(why: WhyNot) -> RefusedByState:
    """What a sender is told in a thread."""
    error, message = _SEND_REFUSALS[why]
    return error(message)
