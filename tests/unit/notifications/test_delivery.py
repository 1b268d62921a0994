"""The moves of a delivery: claims, crashes, outcomes, later tries (P4)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.messaging_rule import Side
from services.notifications.domain.delivery import (
    LEASE,
    Channel,
    Delivery,
    Dispatch,
    Outcome,
    Reason,
    Recipient,
    State,
    claim,
    conclude,
    hold,
    is_claimable,
    pause_after,
    settle,
    transmit,
    withdraw,
)
from services.notifications.domain.message import Message

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LATER = NOON + LEASE + timedelta(seconds=1)


@pytest.fixture
def held():
    return Delivery(
        id=uuid4(),
        clinic_id=uuid4(),
        message=Message(id=uuid4(), conversation_id=uuid4(), sequence=1, sent_at=NOON),
        recipient=Recipient(Side.PROFILE, uuid4()),
        channel=Channel.EMAIL,
        state=State.HELD,
        reason=None,
        decided_at=NOON,
        due_at=NOON,
        dispatch_id=uuid4(),
    )


@pytest.fixture
def transmitting(held):
    return transmit(claim(held, uuid4(), now=NOON), now=NOON)


def test_a_held_one_can_be_claimed_once_it_is_due(held):
    assert not is_claimable(held, now=NOON - timedelta(microseconds=1))
    assert is_claimable(held, now=NOON)


def test_a_claimed_one_is_another_worker_s_until_its_lease_is_over(held):
    claimed = claim(held, uuid4(), now=NOON)

    assert not is_claimable(claimed, now=NOON + LEASE / 2)
    assert is_claimable(claimed, now=NOON + LEASE)


def test_a_claim_lost_before_the_transmission_costs_nothing(held):
    claimed = claim(held, uuid4(), now=NOON)

    again = claim(claimed, uuid4(), now=LATER)

    assert (again.state, again.resent, again.attempts) == (State.CLAIMED, False, 2)


def test_a_crash_while_transmitting_lets_it_go_once_more(transmitting):
    again = claim(transmitting, uuid4(), now=LATER)

    assert (again.state, again.resent) == (State.CLAIMED, True)


def test_a_second_crash_while_transmitting_leaves_it_unknown(transmitting):
    again = transmit(claim(transmitting, uuid4(), now=LATER), now=LATER)

    third = claim(again, uuid4(), now=LATER + LEASE)

    assert (third.state, third.reason) == (State.UNKNOWN, Reason.NO_ANSWER)


def test_what_is_withdrawn_before_it_left_is_cancelled(held):
    withdrawn = withdraw(claim(held, uuid4(), now=NOON), Reason.DELETED)

    assert (withdrawn.state, withdrawn.reason) == (State.CANCELLED, Reason.DELETED)
    assert withdrawn.claim_id is None


def test_what_may_have_left_is_not_called_cancelled(transmitting):
    orphan = claim(transmitting, uuid4(), now=LATER)

    for delivery in (transmitting, orphan):
        withdrawn = withdraw(delivery, Reason.DO_NOT_EMAIL)
        assert (withdrawn.state, withdrawn.reason) == (State.UNKNOWN, Reason.NO_ANSWER)


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        (Outcome.SENT, State.SENT, None),
        (Outcome.TRY_LATER, State.HELD, None),
        (Outcome.NO_ADDRESS, State.SKIPPED, Reason.NO_ADDRESS),
        (Outcome.SUPPRESSED, State.SUPPRESSED, Reason.SUPPRESSED),
        (Outcome.ADDRESS_REFUSED, State.FAILED, Reason.REJECTED),
        (Outcome.MAIL_REFUSED, State.FAILED, Reason.REJECTED),
        (Outcome.NO_ANSWER, State.UNKNOWN, Reason.NO_ANSWER),
    ],
)
def test_every_outcome_has_its_state_and_gives_the_claim_back(transmitting, outcome, state, reason):
    concluded = conclude(transmitting, outcome, tries=1, now=NOON)

    assert (concluded.state, concluded.reason) == (state, reason)
    assert (concluded.claim_id, concluded.leased_until) == (None, None)
    assert (concluded.sent_at is not None) == (state is State.SENT)


def test_what_no_provider_was_asked_for_waits_for_its_turn_and_was_not_tried(transmitting):
    turn = NOON + timedelta(days=2)

    held = conclude(transmitting, Outcome.NOT_ASKED, tries=9, now=NOON, not_before=turn)

    assert (held.state, held.due_at, held.attempts) == (State.HELD, turn, 0)
    assert held.claim_id is None


def test_pauses_double_up_to_an_hour():
    pauses = [pause_after(attempts).total_seconds() for attempts in (1, 2, 3, 7, 8, 9, 10**6)]

    assert pauses == [30, 60, 120, 1920, 3600, 3600, 3600]


def test_after_a_day_of_tries_it_has_failed(transmitting):
    later = NOON + timedelta(hours=24, seconds=1)

    concluded = conclude(transmitting, Outcome.TRY_LATER, tries=1, now=later)

    assert (concluded.state, concluded.reason) == (State.FAILED, Reason.UNREACHABLE)


def test_every_move_raises_the_version(held):
    dispatch = Dispatch(uuid4(), NOON)
    claimed = claim(held, uuid4(), now=NOON)
    moves = [
        claimed,
        replace(transmit(claimed, now=NOON), version=claimed.version),
        settle(held, State.SKIPPED, Reason.SIGNED_IN),
        hold(settle(held, State.SKIPPED, Reason.SIGNED_IN), dispatch, now=NOON),
    ]

    assert [move.version for move in moves] == [2, 2, 2, 3]


def test_a_provider_may_ask_for_a_longer_pause_than_ours(transmitting):
    asked = NOON + timedelta(hours=3)

    again = conclude(transmitting, Outcome.TRY_LATER, tries=1, now=NOON, not_before=asked)

    assert (again.state, again.due_at) == (State.HELD, asked)


def test_a_provider_may_not_shorten_our_pause(transmitting):
    again = conclude(transmitting, Outcome.TRY_LATER, tries=1, now=NOON, not_before=NOON)

    assert again.due_at == NOON + pause_after(1)


def test_no_pause_goes_beyond_the_day_of_tries(transmitting):
    asked = NOON + timedelta(days=9)

    again = conclude(transmitting, Outcome.TRY_LATER, tries=1, now=NOON, not_before=asked)

    assert again.due_at == NOON + timedelta(days=1)
