"""Who is told of a message, and why not: decided at once, and again when the mail or push would
leave."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.notifications.domain.delivery import Reason, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A staff member's session. `expired`: it ended for want of activity, not by a logout."""

    opened_at: datetime
    last_activity_at: datetime
    ended_at: datetime | None = None
    expired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """What the directory says of a staff member. `away_after` is the clinic's option (I20)."""

    active: bool
    opted_in_at: datetime | None
    sessions: Sequence[Session]
    away_after: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What the directory says of a patient or contact; both are told alike (R40).

    `unmerged_at` and `mailable_since`: until then it was merged away, or marked Do Not Email, at
    least once. What was sent before is not told late, whether or not we saw it so (I10, I14).
    """

    do_not_email: bool
    merged: bool
    unmerged_at: datetime | None = None
    mailable_since: datetime | None = None


Person = Staff | Profile


def why_not_tell(person: Person, sent_at: datetime) -> Reason | None:
    """Why the rules want nobody told of a message of this time, or None.

    The clinic's policy is not asked: what was accepted before it went off still goes (I15). Nor
    are a profile's sessions: presence is of one side, and patients are always told (I21).
    """
    match person:
        case Profile():
            return _why_not_profile(person, sent_at)
        case Staff():
            return _why_not_staff(person, sent_at)


def _why_not_profile(profile: Profile, sent_at: datetime) -> Reason | None:
    if profile.merged or _before(sent_at, profile.unmerged_at):
        return Reason.MERGED
    flagged = profile.do_not_email or _before(sent_at, profile.mailable_since)
    return Reason.DO_NOT_EMAIL if flagged else None


def _before(sent_at: datetime, at: datetime | None) -> bool:
    return at is not None and sent_at < at


def _why_not_staff(staff: Staff, sent_at: datetime) -> Reason | None:
    if not staff.active:
        return Reason.POLICY
    if staff.opted_in_at is None or sent_at < staff.opted_in_at:
        return Reason.NOT_OPTED_IN
    return Reason.SIGNED_IN if was_signed_in(staff, sent_at) else None


def was_signed_in(staff: Staff, at: datetime) -> bool:
    """By the sessions' intervals, not by when we heard of them (R24)."""
    return any(_covers(session, at, staff.away_after) for session in staff.sessions)


def _covers(session: Session, at: datetime, away_after: timedelta | None) -> bool:
    if at < session.opened_at or (session.ended_at is not None and at >= session.ended_at):
        return False
    # Whoever let a session expire had left after the last activity (I19).
    if session.expired:
        return at <= session.last_activity_at
    return away_after is None or at <= session.last_activity_at + away_after


def decide(
    person: Person,
    sent_at: datetime,
    *,
    withdrawn: Reason | None,
    unreachable: Reason | None = None,
) -> tuple[State, Reason | None]:
    """HELD, or why not. `withdrawn` says that the message was deleted or read before,
    `unreachable` what the recipient lacks for the channel."""
    reason = why_not_tell(person, sent_at) or unreachable
    if reason is not None:
        return State.SKIPPED, reason
    return (State.HELD, None) if withdrawn is None else (State.CANCELLED, withdrawn)
