"""Staff mail: asked for, and not signed in, by intervals (R23 to R26, I19); states that change
while a mail waits (I10, I14)."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.directory_replica.states import EndCause, ProfileState, StaffState
from services.messaging_rule import Side
from tests.support.notifications_world import LONG, PORTAL, Thread

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def signed_in(world):
    """A staff member who wants mail, signed in half an hour ago and active since; the thread, the
    session, and when it was last active."""
    thread = await world.thread()
    now = datetime.now(UTC)
    active = now - 10 * MINUTE
    session = await world.session(
        thread.staff_id, opened_at=now - 30 * MINUTE, last_activity_at=active
    )
    return thread, session, active


async def test_staff_who_did_not_ask_get_no_mail(world):
    thread = await world.thread()
    thread.staff_id = await world.staff()

    sent = await thread.send(Side.PROFILE)

    assert world.outcome(sent) == "SKIPPED(NOT_OPTED_IN)"
    assert world.told(sent) == 1


async def test_staff_who_are_signed_in_get_no_mail(world, signed_in):
    thread, _, _ = signed_in

    sent = await thread.send(Side.PROFILE)

    assert world.outcome(sent) == "SKIPPED(SIGNED_IN)"


async def test_a_staff_session_does_not_keep_mail_from_a_patient(world, signed_in):
    thread, _, _ = signed_in

    sent = await thread.send(Side.STAFF)

    assert world.outcome(sent) == "HELD"


async def test_a_queued_mail_is_checked_again_after_opting_out(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send(Side.PROFILE)

    await world.update(StaffState, thread.staff_id, opted_in_at=None)
    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "CANCELLED(NOT_OPTED_IN)"
    assert world.mails(thread.staff_id) == []


async def test_opting_out_and_in_again_does_not_bring_back_what_came_before(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send(Side.PROFILE)

    await world.update(StaffState, thread.staff_id, opted_in_at=datetime.now(UTC) + MINUTE)
    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "CANCELLED(NOT_OPTED_IN)"


async def test_a_session_heard_of_late_still_counts(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send(Side.PROFILE)

    await world.session(thread.staff_id, opened_at=datetime.now(UTC) - MINUTE)
    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "CANCELLED(SIGNED_IN)"


async def test_a_session_opened_after_the_message_does_not_count(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send(Side.PROFILE)

    await world.session(thread.staff_id, opened_at=datetime.now(UTC) + MINUTE)
    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "SENT"


async def test_a_logout_heard_of_late_brings_the_mail_of_what_came_after_it(world, signed_in):
    thread, session, _ = signed_in
    now = datetime.now(UTC)
    before = await thread.send(Side.PROFILE, at=now - 2 * MINUTE)
    after = await thread.send(Side.PROFILE, at=now)

    await world.end(session, at=now - MINUTE, cause=EndCause.LOGOUT)
    await world.reconsider()
    await world.dispatch_due()

    assert world.outcome(before) == "SKIPPED(SIGNED_IN)"
    assert world.outcome(after) == "SENT"
    (mail,) = world.mails(thread.staff_id)
    assert "a new secure message" in mail.part("plain")


async def test_a_logout_after_the_messages_brings_no_mail(world, signed_in):
    thread, session, _ = signed_in
    sent = await thread.send(Side.PROFILE)

    await world.end(session, at=datetime.now(UTC) + MINUTE, cause=EndCause.LOGOUT)
    await world.reconsider()
    await world.dispatch_due()

    assert world.outcome(sent) == "SKIPPED(SIGNED_IN)"


async def test_an_expired_session_brings_one_mail_of_all_that_is_unread(world, signed_in):
    thread, session, active = signed_in
    other = Thread(world, thread.staff_id, await world.profile())
    seen = await thread.send(Side.PROFILE, at=active - MINUTE)
    read = await thread.send(Side.PROFILE, at=active + MINUTE)
    unread = await thread.send(Side.PROFILE, at=active + 2 * MINUTE)
    elsewhere = await other.send(Side.PROFILE, at=active + 3 * MINUTE)
    deleted = await other.send(Side.PROFILE, at=active + 4 * MINUTE)
    await world.take(thread.reading(Side.STAFF, read.sequence), other.deletion(deleted))

    await world.end(session, at=datetime.now(UTC), cause=EndCause.EXPIRED)
    await world.reconsider()
    await world.dispatch_due()

    (mail,) = world.mails(thread.staff_id)
    assert "2 new secure messages" in mail.part("plain")
    assert f"{PORTAL}/messages?profile={thread.staff_id}" in mail.part("plain")
    assert [world.outcome(each) for each in (seen, read, unread, elsewhere, deleted)] == [
        "SKIPPED(SIGNED_IN)",
        "CANCELLED(READ)",
        "SENT",
        "SENT",
        "CANCELLED(DELETED)",
    ]


async def test_the_mail_of_an_expiry_has_a_day_of_tries_of_its_own(world, signed_in):
    thread, session, active = signed_in
    unread = await thread.send(Side.PROFILE, at=active + MINUTE)
    world.decided_long_ago(unread, timedelta(days=7))
    await world.end(session, at=datetime.now(UTC), cause=EndCause.EXPIRED)
    await world.reconsider()

    world.refuse(thread.staff_id, code=451)
    await world.dispatch_due()

    assert world.outcome(unread) == "HELD"


async def test_an_expiry_beside_a_session_still_open_brings_no_mail(world, signed_in):
    thread, session, active = signed_in
    await world.session(thread.staff_id, opened_at=active)
    sent = await thread.send(Side.PROFILE)

    await world.end(session, at=datetime.now(UTC), cause=EndCause.EXPIRED)
    await world.reconsider()

    assert world.outcome(sent) == "SKIPPED(SIGNED_IN)"


async def test_the_last_of_two_sessions_to_end_brings_the_mail(world, signed_in):
    thread, session, active = signed_in
    phone = await world.session(thread.staff_id, opened_at=active - MINUTE)
    sent = await thread.send(Side.PROFILE)
    await world.end(session, at=datetime.now(UTC), cause=EndCause.EXPIRED)
    await world.reconsider()

    await world.end(phone, at=datetime.now(UTC), cause=EndCause.EXPIRED)
    await world.reconsider()
    await world.dispatch_due()

    assert world.outcome(sent) == "SENT"


async def test_an_expiry_known_before_the_message_is_decided_like_one_known_after(world, signed_in):
    thread, session, _ = signed_in
    sent = thread.message(Side.PROFILE)
    await world.end(session, at=datetime.now(UTC) + MINUTE, cause=EndCause.EXPIRED)
    await world.reconsider()

    await world.take(sent.event)

    assert world.outcome(sent) == "HELD"


async def test_consequences_are_drawn_once(world, signed_in):
    thread, session, _ = signed_in
    await thread.send(Side.PROFILE)
    await world.end(session, at=datetime.now(UTC), cause=EndCause.EXPIRED)
    await world.reconsider()

    assert await world.changed() == []


async def test_after_a_restore_of_the_directory_an_ended_session_is_looked_at_again(
    world, signed_in
):
    thread, session, _ = signed_in
    sent = await thread.send(Side.PROFILE)
    await world.end(session, at=datetime.now(UTC) + MINUTE, cause=EndCause.LOGOUT)
    await world.reconsider()
    assert world.outcome(sent) == "SKIPPED(SIGNED_IN)"

    # Restored to a moment before that, it says something else under the same number.
    world.directory_restored()
    await world.end(session, at=datetime.now(UTC) - MINUTE, cause=EndCause.LOGOUT)
    await world.reconsider()

    assert world.outcome(sent) == "HELD"


async def test_do_not_email_cancels_what_waits_and_turning_it_off_sends_nothing(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send()

    await world.update(ProfileState, thread.profile_id, do_not_email=True)
    await world.reconsider()
    await world.update(ProfileState, thread.profile_id, do_not_email=False)
    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "CANCELLED(DO_NOT_EMAIL)"
    assert world.mails(thread.profile_id) == []


async def test_do_not_email_holds_at_the_last_look_too(world):
    thread = await world.thread()
    sent = await thread.send()
    (found,) = await world.found_due()
    claim = await world.claim(found)

    await world.update(ProfileState, thread.profile_id, do_not_email=True)

    assert await world.begin(claim) is None
    assert world.outcome(sent) == "CANCELLED(DO_NOT_EMAIL)"


async def test_a_message_to_someone_who_wants_no_mail_is_skipped(world):
    thread = await world.thread()
    thread.profile_id = await world.profile(do_not_email=True)

    sent = await thread.send()

    assert world.outcome(sent) == "SKIPPED(DO_NOT_EMAIL)"


async def test_a_merge_cancels_what_waits_and_an_unmerge_sends_nothing(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send()

    await world.update(ProfileState, thread.profile_id, merged_into=uuid4(), merge_id=uuid4())
    await world.reconsider()
    await world.update(ProfileState, thread.profile_id, merged_into=None, merge_id=None)
    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "CANCELLED(MERGED)"
    assert world.mails(thread.profile_id) == []


async def test_a_merge_undone_before_anybody_looked_cancels_what_waits_all_the_same(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send()

    await world.update(ProfileState, thread.profile_id, unmerged_at=datetime.now(UTC))
    await world.reconsider()
    later = await thread.send()

    assert world.outcome(sent) == "CANCELLED(MERGED)"
    assert world.outcome(later) == "HELD"


async def test_a_flag_taken_back_before_anybody_looked_cancels_what_waits_all_the_same(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send()

    await world.update(ProfileState, thread.profile_id, mailable_since=datetime.now(UTC))
    await world.reconsider()
    later = await thread.send()

    assert world.outcome(sent) == "CANCELLED(DO_NOT_EMAIL)"
    assert world.outcome(later) == "HELD"


async def test_staff_who_leave_get_no_mail_any_more(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send(Side.PROFILE)

    await world.update(StaffState, thread.staff_id, active=False, deactivation_id=uuid4())
    await world.reconsider()

    assert world.outcome(sent) == "CANCELLED(POLICY)"


async def test_a_clinic_may_count_idle_sessions_as_away(world, signed_in):
    thread, _, _ = signed_in
    await world.clinic(away_after=5 * MINUTE)

    sent = await thread.send(Side.PROFILE)

    assert world.outcome(sent) == "HELD"
