"""From the fact to the mail (R14, R24, R37, R40, R41, I13, I15, I16, I41, I42)."""

from dataclasses import replace
from uuid import uuid4

import pytest

from services.chassis.errors import Unavailable
from services.directory_replica.states import ClinicState
from services.messaging_rule import Side
from tests.support.notifications_world import LONG, PORTAL


async def test_a_message_to_a_patient_makes_one_mail_with_a_link(world):
    thread = await world.thread()
    sent = await thread.send(Side.STAFF)

    await world.dispatch_due()

    (mail,) = world.mails(thread.profile_id)
    link = f"{PORTAL}/messages/{thread.id}?profile={thread.profile_id}"
    assert link in mail.part("plain")
    assert link in mail.part("html")
    assert world.outcome(sent) == "SENT"
    assert world.told(sent) == 1


async def test_a_message_to_staff_who_asked_for_mail_makes_one_with_unsubscribe(world):
    thread = await world.thread()
    sent = await thread.send(Side.PROFILE)

    await world.dispatch_due()

    (mail,) = world.mails(thread.staff_id)
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert world.outcome(sent) == "SENT"
    assert world.mails(thread.profile_id) == []


async def test_a_fact_that_comes_again_has_no_second_effect(world):
    thread = await world.thread()
    sent = await thread.send()
    await world.dispatch_due()

    await world.take(sent.event, sent.event)
    await world.dispatch_due()

    assert len(world.mails(thread.profile_id)) == 1
    assert world.told(sent) == 1


async def test_a_fact_that_comes_under_another_event_id_has_no_second_row(world):
    thread = await world.thread()
    sent = await thread.send()

    await world.take(replace(sent.event, event_id=uuid4()))

    assert len(world.rows(sent)) == 1


async def test_mail_waits_for_the_clinic_s_hold(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send()

    await world.dispatch_due()
    assert world.outcome(sent) == "HELD"
    assert world.mails(thread.profile_id) == []

    world.let_pass(LONG)
    await world.dispatch_due()
    assert world.outcome(sent) == "SENT"


async def test_a_burst_makes_one_mail_that_says_how_many(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    burst = [await thread.send() for _ in range(3)]

    world.let_pass(LONG)
    await world.dispatch_due()

    (mail,) = world.mails(thread.profile_id)
    assert "3 new secure messages" in mail.part("plain")
    assert [world.outcome(sent) for sent in burst] == ["SENT"] * 3
    assert len({row["dispatch_id"] for row in world.rows()}) == 1


async def test_a_later_message_makes_another_mail(world):
    thread = await world.thread()
    await thread.send()
    await world.dispatch_due()

    await thread.send()
    await world.dispatch_due()

    mails = world.mails(thread.profile_id)
    assert [mail.part("plain").count("a new secure message") for mail in mails] == [1, 1]
    assert len({mail.message["Message-ID"] for mail in mails}) == 2


async def test_threads_have_mails_of_their_own(world):
    await world.clinic(hold=LONG)
    first = await world.thread()
    second = await world.thread()
    second.profile_id = first.profile_id
    await first.send()
    await second.send()

    world.let_pass(LONG)
    await world.dispatch_due()

    assert len(world.mails(first.profile_id)) == 2


async def test_a_message_deleted_in_the_hold_is_not_counted(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    kept, deleted, also_kept = [await thread.send() for _ in range(3)]

    await world.take(thread.deletion(deleted))
    world.let_pass(LONG)
    await world.dispatch_due()

    (mail,) = world.mails(thread.profile_id)
    assert "2 new secure messages" in mail.part("plain")
    assert world.outcome(deleted) == "CANCELLED(DELETED)"
    assert [world.outcome(kept), world.outcome(also_kept)] == ["SENT", "SENT"]


async def test_when_all_of_it_is_deleted_no_mail_goes(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send()

    await world.take(thread.deletion(sent))
    world.let_pass(LONG)
    await world.dispatch_due()

    assert world.mails(thread.profile_id) == []
    assert world.outcome(sent) == "CANCELLED(DELETED)"
    assert world.told(sent) == 1


async def test_a_delete_may_come_before_its_send(world):
    thread = await world.thread()
    sent = thread.message()
    await world.take(thread.deletion(sent))

    await world.take(sent.event)
    await world.dispatch_due()

    assert world.outcome(sent) == "CANCELLED(DELETED)"
    assert world.mails(thread.profile_id) == []


async def test_what_was_read_in_the_hold_is_not_mailed(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    read, unread = await thread.send(), await thread.send()

    await world.take(thread.reading(Side.PROFILE, read.sequence))
    world.let_pass(LONG)
    await world.dispatch_due()

    (mail,) = world.mails(thread.profile_id)
    assert "a new secure message" in mail.part("plain")
    assert [world.outcome(read), world.outcome(unread)] == ["CANCELLED(READ)", "SENT"]


async def test_a_read_may_come_before_the_send_that_it_covers(world):
    thread = await world.thread()
    sent = thread.message()
    await world.take(thread.reading(Side.PROFILE, sent.sequence))

    await world.take(sent.event)

    assert world.outcome(sent) == "CANCELLED(READ)"


async def test_the_sender_s_reading_changes_nothing_for_the_recipient(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send(Side.STAFF)

    await world.take(thread.reading(Side.STAFF, sent.sequence))

    assert world.outcome(sent) == "HELD"


async def test_what_was_deleted_or_read_after_the_mail_left_stays_sent(world):
    thread = await world.thread()
    sent = await thread.send()
    await world.dispatch_due()

    await world.take(thread.deletion(sent), thread.reading(Side.PROFILE, sent.sequence))

    assert world.outcome(sent) == "SENT"


async def test_mail_accepted_before_the_policy_went_off_still_goes(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send()

    await world.update(ClinicState, world.clinic_id, messaging_allowed=False)
    world.let_pass(LONG)
    await world.dispatch_due()

    assert world.outcome(sent) == "SENT"


async def test_without_an_address_the_message_is_skipped_and_says_so(world):
    thread = await world.thread()
    thread.profile_id = await world.profile(address="")
    sent = await thread.send()

    await world.dispatch_due()

    assert world.outcome(sent) == "SKIPPED(NO_ADDRESS)"
    assert world.told(sent) == 1


async def test_a_person_the_replica_does_not_hold_yet_is_looked_up(world):
    thread = await world.thread()
    thread.profile_id = world.unheard_profile()

    sent = await thread.send()

    await world.dispatch_due()
    assert world.outcome(sent) == "SENT"


async def test_a_fact_waits_for_a_directory_that_is_out_of_reach(world):
    thread = await world.thread()
    thread.profile_id = world.unheard_profile()
    sent = thread.message()
    world.directory.reachable = False
    with pytest.raises(Unavailable):
        await world.take(sent.event)
    assert world.rows(sent) == []

    world.directory.reachable = True
    await world.take(sent.event)

    assert world.outcome(sent) == "HELD"
