"""Why a message did or did not reach somebody, as one ordered list of causes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.conversations.domain.conversation import Conversation
from services.conversations.domain.message import Message
from services.conversations.domain.people import People, all_that_stands_between, may_see
from services.messaging_rule import WhyNot


class Kind(StrEnum):
    IN_CONVERSATION = "IN_CONVERSATION"
    NO_MESSAGE = "NO_MESSAGE"
    PROFILE_MERGED = "PROFILE_MERGED"
    STAFF_INACTIVE = "STAFF_INACTIVE"
    MESSAGING_DISABLED = "MESSAGING_DISABLED"
    MESSAGING_BLOCKED = "MESSAGING_BLOCKED"
    RECIPIENT_DO_NOT_EMAIL = "RECIPIENT_DO_NOT_EMAIL"
    MESSAGE_DELETED = "MESSAGE_DELETED"
    MESSAGE_READ = "MESSAGE_READ"
    NOTIFICATION = "NOTIFICATION"
    NOTIFICATIONS_UNREACHABLE = "NOTIFICATIONS_UNREACHABLE"
    LIKELY_DUPLICATE = "LIKELY_DUPLICATE"
    MAIL_NOT_ARRIVING = "MAIL_NOT_ARRIVING"
    SIGNED_IN_AT_ARRIVAL = "SIGNED_IN_AT_ARRIVAL"
    NOT_SIGNED_IN_AT_ARRIVAL = "NOT_SIGNED_IN_AT_ARRIVAL"
    SIGNED_IN_LAST = "SIGNED_IN_LAST"
    NEVER_SIGNED_IN = "NEVER_SIGNED_IN"


MOST_CAUSES = 50
_OF_SESSIONS = frozenset({Kind.SIGNED_IN_AT_ARRIVAL, Kind.SIGNED_IN_LAST})
# What a patient sees of the conversation anyway.
_OF_THE_CONVERSATION = frozenset({Kind.IN_CONVERSATION, Kind.MESSAGE_DELETED, Kind.MESSAGE_READ})
# Of these a refusal to write tells the first.
_CLOSED = frozenset({Kind.STAFF_INACTIVE, Kind.MESSAGING_DISABLED, Kind.MESSAGING_BLOCKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryCause:
    """`delivery` is a ledger row as notifications tells it, passed on as it is."""

    kind: Kind
    related_profile_id: UUID | None = None
    at: datetime | None = None
    delivery: bytes | None = None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What notifications tells of one mail or push, as it came; `not_arriving` where it came back,
    or goes to an address that mail came back from (I40)."""

    delivery: bytes
    not_arriving: bool


@dataclass(frozen=True, slots=True)
class SignIn:
    """Somebody opened a session of this profile."""

    profile_id: UUID
    at: datetime


def causes_of_people(people: People, survivor_id: UUID | None) -> list[DeliveryCause]:
    """All that the directory says stands between the clinic and the profile."""
    return [
        DeliveryCause(
            kind=Kind(why),
            related_profile_id=survivor_id if why is WhyNot.PROFILE_MERGED else None,
        )
        for why in all_that_stands_between(people)
    ]


def causes_of_message(
    conversation: Conversation, people: People, message: Message | None
) -> list[DeliveryCause]:
    """What the thread itself says of a message; of the thread where it never held one."""
    if message is None:
        return [DeliveryCause(kind=Kind.NO_MESSAGE)]
    causes = []
    if message.deleted_at is not None:
        causes.append(DeliveryCause(kind=Kind.MESSAGE_DELETED, at=message.deleted_at))
    elif may_see(message.sender_side.other, people, last_sequence=conversation.last_sequence):
        causes.append(DeliveryCause(kind=Kind.IN_CONVERSATION, at=message.sent_at))
    if message.read_at is not None:
        causes.append(DeliveryCause(kind=Kind.MESSAGE_READ, at=message.read_at))
    return causes


def causes_of_session(opened_at: datetime | None) -> list[DeliveryCause]:
    """Whether the recipient was signed in when the message arrived, and since when."""
    if opened_at is None:
        return [DeliveryCause(kind=Kind.NOT_SIGNED_IN_AT_ARRIVAL)]
    return [DeliveryCause(kind=Kind.SIGNED_IN_AT_ARRIVAL, at=opened_at)]


def causes_of_deliveries(rows: Sequence[LedgerRow] | None) -> list[DeliveryCause]:
    """What became of mail and push; None where notifications could not be asked."""
    if rows is None:
        return [DeliveryCause(kind=Kind.NOTIFICATIONS_UNREACHABLE)]
    causes = [DeliveryCause(kind=Kind.NOTIFICATION, delivery=row.delivery) for row in rows]
    if any(row.not_arriving for row in rows):
        return [DeliveryCause(kind=Kind.MAIL_NOT_ARRIVING), *causes]
    return causes


def causes_of_sign_ins(last: SignIn | None) -> list[DeliveryCause]:
    """Which of the profiles that may be the same person is the one in use (R42)."""
    if last is None:
        return [DeliveryCause(kind=Kind.NEVER_SIGNED_IN)]
    found = DeliveryCause(kind=Kind.SIGNED_IN_LAST, related_profile_id=last.profile_id, at=last.at)
    return [found]


def without_sign_in_times(causes: Sequence[DeliveryCause]) -> list[DeliveryCause]:
    """For staff, to whom other people's sessions are not shown."""
    return [replace(cause, at=None) if cause.kind in _OF_SESSIONS else cause for cause in causes]


def shown_to_patients(causes: Sequence[DeliveryCause]) -> list[DeliveryCause]:
    """No more than the conversation and a refusal to write tell them: nothing of what a staff
    member does, wishes or is mailed."""
    closed = [cause for cause in causes if cause.kind in _CLOSED]
    return closed[:1] + [cause for cause in causes if cause.kind in _OF_THE_CONVERSATION]


def causes_of_duplicates(profile_ids: Sequence[UUID]) -> list[DeliveryCause]:
    """Profiles that look like the same person, who may be signed in there instead (R42)."""
    return [DeliveryCause(kind=Kind.LIKELY_DUPLICATE, related_profile_id=id) for id in profile_ids]
