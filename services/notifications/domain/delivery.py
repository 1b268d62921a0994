"""One row of the ledger: what became of telling one person of one message on one channel.

    HELD ─► CLAIMED ─► TRANSMITTING ─► SENT | FAILED | UNKNOWN
      │        └───────────┴─► HELD again, for a later try
      └─► CANCELLED | SKIPPED | SUPPRESSED

Moves are pure: each gives the row as it becomes. Those of one burst share a dispatch and move
together, under the recipient's lock.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from services.messaging_rule import Side
from services.notifications.domain.feedback import Feedback, ProviderState
from services.notifications.domain.message import Message

LEASE = timedelta(seconds=60)
_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(hours=1)
_GIVE_UP_AFTER = timedelta(hours=24)


class Channel(StrEnum):
    EMAIL = "EMAIL"
    PUSH = "PUSH"


class State(StrEnum):
    SKIPPED = "SKIPPED"
    HELD = "HELD"
    CLAIMED = "CLAIMED"
    TRANSMITTING = "TRANSMITTING"
    SENT = "SENT"
    CANCELLED = "CANCELLED"
    SUPPRESSED = "SUPPRESSED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


SETTLED = frozenset(
    {
        State.SKIPPED,
        State.SENT,
        State.CANCELLED,
        State.SUPPRESSED,
        State.FAILED,
        State.UNKNOWN,
    }
)


class Reason(StrEnum):
    """Why a delivery did not become SENT."""

    NOT_OPTED_IN = "NOT_OPTED_IN"
    SIGNED_IN = "SIGNED_IN"
    DO_NOT_EMAIL = "DO_NOT_EMAIL"
    NO_ADDRESS = "NO_ADDRESS"
    NO_DEVICE = "NO_DEVICE"
    MERGED = "MERGED"
    DELETED = "DELETED"
    READ = "READ"
    POLICY = "POLICY"
    SUPPRESSED = "SUPPRESSED"
    REJECTED = "REJECTED"
    UNREACHABLE = "UNREACHABLE"
    NO_ANSWER = "NO_ANSWER"


class Outcome(StrEnum):
    """How one try to hand a dispatch to its provider ended. NOT_ASKED: the provider has had as much
    as it takes for now, so it was no try."""

    SENT = "SENT"
    NOT_ASKED = "NOT_ASKED"
    TRY_LATER = "TRY_LATER"
    NO_ADDRESS = "NO_ADDRESS"
    NO_DEVICE = "NO_DEVICE"
    SUPPRESSED = "SUPPRESSED"
    ADDRESS_REFUSED = "ADDRESS_REFUSED"
    MAIL_REFUSED = "MAIL_REFUSED"
    NO_ANSWER = "NO_ANSWER"


_SETTLED_BY = {
    Outcome.NO_ADDRESS: (State.SKIPPED, Reason.NO_ADDRESS),
    Outcome.NO_DEVICE: (State.SKIPPED, Reason.NO_DEVICE),
    Outcome.SUPPRESSED: (State.SUPPRESSED, Reason.SUPPRESSED),
    Outcome.ADDRESS_REFUSED: (State.FAILED, Reason.REJECTED),
    Outcome.MAIL_REFUSED: (State.FAILED, Reason.REJECTED),
    Outcome.NO_ANSWER: (State.UNKNOWN, Reason.NO_ANSWER),
}


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who is told: a staff member or a profile, never a login (R37)."""

    side: Side
    id: UUID


@dataclass(frozen=True, slots=True)
class Whom:
    """A recipient, and the clinic that they are one of."""

    clinic_id: UUID
    recipient: Recipient


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What one mail or push tells of: the deliveries of a burst, until it leaves."""

    id: UUID
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """`attempts` counts claims. `resent` is set where a crash leaves open whether the provider has
    taken it already: it goes once more, with the same Message-ID, and never a third time.
    `address_print` tells the address that it was tried at, `feedback` what came of it since.
    """

    id: UUID
    clinic_id: UUID
    message: Message
    recipient: Recipient
    channel: Channel
    state: State
    reason: Reason | None
    decided_at: datetime
    due_at: datetime | None = None
    sent_at: datetime | None = None
    dispatch_id: UUID | None = None
    attempts: int = 0
    claim_id: UUID | None = None
    leased_until: datetime | None = None
    resent: bool = False
    address_print: bytes | None = None
    feedback: Feedback | None = None
    version: int = 1

    @property
    def is_settled(self) -> bool:
        return self.state in SETTLED

    @property
    def whom(self) -> Whom:
        return Whom(self.clinic_id, self.recipient)

    @property
    def provider_state(self) -> ProviderState | None:
        """None where nobody knows whether the provider took it."""
        if self.feedback is not None:
            return ProviderState(self.feedback)
        if self.state is State.UNKNOWN:
            return None
        return ProviderState.SENT if self.state is State.SENT else ProviderState.UNSENT


def is_claimable(delivery: Delivery, *, now: datetime) -> bool:
    """Is it due, or was it left behind by a worker that is gone?"""
    if delivery.state is State.HELD:
        return delivery.due_at is not None and delivery.due_at <= now
    return delivery.leased_until is not None and delivery.leased_until <= now


def settle(delivery: Delivery, state: State, reason: Reason) -> Delivery:
    """Not sent, and why."""
    return replace(_released(delivery), state=state, reason=reason)


def withdraw(delivery: Delivery, reason: Reason) -> Delivery:
    """No longer wanted. What may have left already cannot be called cancelled."""
    if delivery.resent or delivery.state is State.TRANSMITTING:
        return settle(delivery, State.UNKNOWN, Reason.NO_ANSWER)
    return settle(delivery, State.CANCELLED, reason)


def hold(delivery: Delivery, dispatch: Dispatch, *, now: datetime) -> Delivery:
    """Wanted after all: as part of this dispatch, which has its own day of tries."""
    return replace(
        _released(delivery),
        state=State.HELD,
        reason=None,
        decided_at=now,
        dispatch_id=dispatch.id,
        due_at=dispatch.due_at,
    )


def claim(delivery: Delivery, claim_id: UUID, *, now: datetime) -> Delivery:
    """In a worker's hands until the lease is over. A second orphan is not sent a third time."""
    orphaned = delivery.state is State.TRANSMITTING
    if orphaned and delivery.resent:
        return settle(delivery, State.UNKNOWN, Reason.NO_ANSWER)
    return replace(
        delivery,
        state=State.CLAIMED,
        claim_id=claim_id,
        leased_until=now + LEASE,
        attempts=delivery.attempts + 1,
        resent=delivery.resent or orphaned,
        version=delivery.version + 1,
    )


def transmit(delivery: Delivery, *, now: datetime) -> Delivery:
    """From here on a crash leaves open whether the provider has it."""
    return replace(
        delivery,
        state=State.TRANSMITTING,
        leased_until=now + LEASE,
        version=delivery.version + 1,
    )


def conclude(
    delivery: Delivery,
    outcome: Outcome,
    *,
    tries: int,
    now: datetime,
    not_before: datetime | None = None,
) -> Delivery:
    """What a try's outcome makes of a claimed delivery; `tries` are those of its whole dispatch,
    so that what goes together is due together, however late it joined. `not_before` is when the
    provider will hear of it again, where it said so."""
    if outcome is Outcome.SENT:
        return replace(_released(delivery), state=State.SENT, sent_at=now)
    if outcome is Outcome.NOT_ASKED:
        return _put_back(delivery, not_before or now)
    if outcome is Outcome.TRY_LATER:
        return _try_later(delivery, _due_again(delivery, tries, now, not_before), now)
    return settle(delivery, *_SETTLED_BY[outcome])


def _put_back(delivery: Delivery, due_at: datetime) -> Delivery:
    """As if it had not been claimed: it waits for its turn, however long."""
    attempts = delivery.attempts - 1
    return replace(_released(delivery), state=State.HELD, due_at=due_at, attempts=attempts)


def _due_again(
    delivery: Delivery, tries: int, now: datetime, not_before: datetime | None
) -> datetime:
    """A provider may ask for a longer pause than ours, but not for more than the day of tries."""
    ours = now + pause_after(tries)
    if not_before is None:
        return ours
    return max(ours, min(not_before, delivery.decided_at + _GIVE_UP_AFTER))


def _try_later(delivery: Delivery, due_at: datetime, now: datetime) -> Delivery:
    if now - delivery.decided_at > _GIVE_UP_AFTER:
        return settle(delivery, State.FAILED, Reason.UNREACHABLE)
    return replace(_released(delivery), state=State.HELD, due_at=due_at)


def pause_after(attempts: int) -> timedelta:
    """30 s after the first try, twice as long after each further one, an hour at most."""
    doublings = min(max(attempts - 1, 0), 10)
    return min(_FIRST_PAUSE * (1 << doublings), _LONGEST_PAUSE)


def _released(delivery: Delivery) -> Delivery:
    return replace(delivery, claim_id=None, leased_until=None, version=delivery.version + 1)
