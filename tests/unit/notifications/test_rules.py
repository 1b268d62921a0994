"""Who is mailed of a message, and why not (R23 to R26, R37, R40, R41, I10, I14, I19 to I21)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.notifications.domain.delivery import Reason, State
from services.notifications.domain.rules import (
    Profile,
    Session,
    Staff,
    decide,
    was_signed_in,
    why_not_tell,
)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def staff(*sessions, **facts):
    given: dict[str, Any] = {
        "active": True,
        "opted_in_at": NOON - timedelta(days=1),
        "away_after": None,
    }
    return Staff(sessions=sessions, **given | facts)


def session(*, since=NOON - 10 * MINUTE, active=NOON - MINUTE, until=None, expired=False):
    return Session(opened_at=since, last_activity_at=active, ended_at=until, expired=expired)


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (Profile(do_not_email=False, merged=False), None),
        (Profile(do_not_email=True, merged=False), Reason.DO_NOT_EMAIL),
        (Profile(do_not_email=False, merged=True), Reason.MERGED),
        (Profile(do_not_email=True, merged=True), Reason.MERGED),
    ],
)
def test_a_profile_is_mailed_unless_marked_or_merged_away(profile, reason):
    assert why_not_tell(profile, NOON) is reason


def test_staff_who_asked_for_mail_and_are_not_signed_in_are_mailed():
    assert why_not_tell(staff(), NOON) is None


@pytest.mark.parametrize("opted_in_at", [None, NOON + timedelta(microseconds=1)])
def test_staff_are_not_mailed_of_what_came_before_they_asked(opted_in_at):
    assert why_not_tell(staff(opted_in_at=opted_in_at), NOON) is Reason.NOT_OPTED_IN


def test_staff_are_mailed_of_what_comes_at_the_moment_they_ask():
    assert why_not_tell(staff(opted_in_at=NOON), NOON) is None


def test_staff_who_have_left_are_not_mailed():
    assert why_not_tell(staff(active=False), NOON) is Reason.POLICY


def test_staff_who_are_signed_in_are_not_mailed():
    assert why_not_tell(staff(session()), NOON) is Reason.SIGNED_IN


@pytest.mark.parametrize(
    ("since", "until", "signed_in"),
    [
        (NOON, None, True),
        (NOON + timedelta(microseconds=1), None, False),
        (NOON - MINUTE, NOON + timedelta(microseconds=1), True),
        (NOON - MINUTE, NOON, False),
    ],
)
def test_a_session_counts_from_its_opening_until_before_its_end(since, until, signed_in):
    assert was_signed_in(staff(session(since=since, until=until)), NOON) is signed_in


@pytest.mark.parametrize(("active", "signed_in"), [(NOON, True), (NOON - MINUTE, False)])
def test_an_expired_session_counts_until_its_last_activity(active, signed_in):
    expired = session(active=active, until=NOON + 30 * MINUTE, expired=True)

    assert was_signed_in(staff(expired), NOON) is signed_in


def test_one_session_of_several_is_enough():
    expired = session(until=NOON + MINUTE, expired=True)

    assert was_signed_in(staff(expired, session()), NOON)


@pytest.mark.parametrize(
    ("away_after", "signed_in"),
    [(None, True), (10 * MINUTE, True), (5 * MINUTE, True), (4 * MINUTE, False)],
)
def test_an_idle_session_counts_as_away_only_where_the_clinic_says_so(away_after, signed_in):
    idle = session(active=NOON - 5 * MINUTE)

    assert was_signed_in(staff(idle, away_after=away_after), NOON) is signed_in


def test_what_is_wanted_is_held():
    assert decide(staff(), NOON, withdrawn=None) == (State.HELD, None)


@pytest.mark.parametrize("withdrawn", [Reason.DELETED, Reason.READ])
def test_what_was_deleted_or_read_before_it_was_decided_is_cancelled(withdrawn):
    assert decide(staff(), NOON, withdrawn=withdrawn) == (State.CANCELLED, withdrawn)


def test_what_the_rules_do_not_want_is_skipped_for_that_reason_whatever_happened_to_it():
    profile = Profile(do_not_email=True, merged=False)

    decided = decide(profile, NOON, withdrawn=Reason.DELETED)

    assert decided == (State.SKIPPED, Reason.DO_NOT_EMAIL)
