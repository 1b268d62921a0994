"""A mail server that refuses, falls silent or is gone; workers that crash (P4, I40)."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from deploy.local.mailbox.faults import Fault
from services.messaging_rule import Side
from services.notifications.domain.delivery import Outcome
from services.notifications.usecases.dispatch_mail import dispatch_mail
from services.notifications.usecases.record_outcome import RecordOutcome
from tests.support.eventually import eventually
from tests.support.notifications_world import LONG, claim_of


@pytest.fixture
async def waiting(world):
    """A thread whose mail is due, and its message."""
    thread = await world.thread()
    return thread, await thread.send()


async def test_a_refusal_for_now_is_tried_again_later(world, waiting):
    thread, sent = waiting
    world.refuse(thread.profile_id, code=451)
    await world.dispatch_due()
    assert world.outcome(sent) == "HELD"
    assert await world.found_due() == []

    world.faults.clear()
    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "SENT"
    assert world.rows(sent)[0]["attempts"] == 2
    assert len(world.mails(thread.profile_id)) == 1


async def test_what_arrives_between_two_tries_joins_the_mail(world, waiting):
    thread, sent = waiting
    world.refuse(thread.profile_id, code=451)
    await world.dispatch_due()

    further = await thread.send()
    world.faults.clear()
    world.let_pass()
    await world.dispatch_due()

    (mail,) = world.mails(thread.profile_id)
    assert "2 new secure messages" in mail.part("plain")
    assert [world.outcome(sent), world.outcome(further)] == ["SENT", "SENT"]


async def test_what_joined_between_two_tries_still_goes_with_the_others_at_the_third(
    world, waiting
):
    thread, sent = waiting
    world.refuse(thread.profile_id, code=451)
    await world.dispatch_due()
    further = await thread.send()
    world.let_pass()
    await world.dispatch_due()

    (first,), (second,) = world.rows(sent), world.rows(further)

    assert (first["attempts"], second["attempts"]) == (2, 1)
    assert first["due_at"] == second["due_at"]


async def test_a_day_of_refusals_is_a_failure(world, waiting):
    thread, sent = waiting
    world.refuse(thread.profile_id, code=451)
    await world.dispatch_due()

    world.let_pass(timedelta(hours=25))
    await world.dispatch_due()

    assert world.outcome(sent) == "FAILED(UNREACHABLE)"


async def test_an_address_refused_for_good_is_not_tried_again(world, waiting):
    thread, sent = waiting
    world.refuse(thread.profile_id, code=550)
    await world.dispatch_due()
    assert world.outcome(sent) == "FAILED(REJECTED)"

    world.faults.clear()
    later = await thread.send()
    await world.dispatch_due()

    assert world.outcome(later) == "SUPPRESSED(SUPPRESSED)"
    assert world.mails(thread.profile_id) == []


async def test_a_new_address_is_mailed_again_after_the_old_one_was_refused(world, waiting):
    thread, _ = waiting
    world.refuse(thread.profile_id, code=550)
    await world.dispatch_due()

    world.details.addresses[str(thread.profile_id)] = f"new-{thread.profile_id}@mail.test"
    later = await thread.send()
    await world.dispatch_due()

    assert world.outcome(later) == "SENT"


async def test_no_address_is_stored(world, waiting):
    thread, _ = waiting
    world.refuse(thread.profile_id, code=550)
    await world.dispatch_due()

    assert world.address_of(thread.profile_id) not in world.everything_stored()


async def test_silence_before_the_mail_was_handed_over_is_tried_again(world, waiting):
    thread, sent = waiting
    world.faults.set(Fault(world.address_of(thread.profile_id), hang="before_data"))
    await world.dispatch_due()
    assert world.outcome(sent) == "HELD"

    world.faults.clear()
    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "SENT"
    assert len(world.mails(thread.profile_id)) == 1


async def test_silence_after_the_mail_was_handed_over_is_unknown_and_never_sent_again(
    world, waiting
):
    thread, sent = waiting
    world.faults.set(Fault(world.address_of(thread.profile_id), hang="after_data"))
    await world.dispatch_due()
    assert world.outcome(sent) == "UNKNOWN(NO_ANSWER)"

    world.faults.clear()
    world.let_pass()
    await world.dispatch_due()

    assert len(world.mails(thread.profile_id)) == 1
    assert world.told(sent) == 1


async def test_a_mail_server_that_is_gone_delays_the_mail(world, waiting):
    _, sent = waiting
    with world.mail_server_gone():
        await world.dispatch_due()
    assert world.outcome(sent) == "HELD"

    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "SENT"


async def test_a_mail_that_cannot_be_made_is_tried_again_for_nothing_of_it_has_left(world, waiting):
    thread, sent = waiting
    works, world.works = world.works, replace(world.works, composer=Unable())
    await world.dispatch_due()
    assert world.outcome(sent) == "HELD"

    world.works = works
    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "SENT"
    assert len(world.mails(thread.profile_id)) == 1


class Unable:
    def compose(self, contents, addressee):
        raise RuntimeError("no such template")


async def test_a_directory_that_is_gone_delays_the_mail(world, waiting):
    _, sent = waiting
    world.details.reachable = False
    await world.dispatch_due()
    assert world.outcome(sent) == "HELD"

    world.details.reachable = True
    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "SENT"


async def test_a_crash_before_the_transmission_loses_and_doubles_nothing(world, waiting):
    thread, sent = waiting
    (found,) = await world.found_due()
    await world.claim(found)
    assert await world.found_due() == []

    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "SENT"
    assert len(world.mails(thread.profile_id)) == 1
    assert not world.rows(sent)[0]["resent"]


async def test_a_crash_after_the_mail_was_handed_over_sends_it_once_more_under_the_same_id(
    world, waiting
):
    thread, sent = waiting
    await crash_with_the_mail_handed_over(world, thread)
    assert world.outcome(sent) == "TRANSMITTING"

    world.let_pass()
    await world.dispatch_due()

    first, second = world.mails(thread.profile_id)
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert world.outcome(sent) == "SENT"


async def test_a_second_such_crash_leaves_it_unknown(world, waiting):
    thread, sent = waiting
    await crash_with_the_mail_handed_over(world, thread)
    world.let_pass()
    await crash_with_the_mail_handed_over(world, thread)

    world.let_pass()
    await world.dispatch_due()

    assert len(world.mails(thread.profile_id)) == 2
    assert world.outcome(sent) == "UNKNOWN(NO_ANSWER)"


async def test_what_arrives_while_a_mail_is_under_way_makes_another(world, waiting):
    thread, sent = waiting
    await crash_with_the_mail_handed_over(world, thread)

    further = await thread.send()
    world.let_pass()
    await world.dispatch_due()

    assert [world.outcome(sent), world.outcome(further)] == ["SENT", "SENT"]
    assert len({mail.message["Message-ID"] for mail in world.mails(thread.profile_id)}) == 2


async def test_a_worker_that_was_overtaken_changes_nothing(world, waiting):
    thread, sent = waiting
    (found,) = await world.found_due()
    overtaken = await world.claim(found)
    world.let_pass()
    await world.dispatch_due()

    assert await world.begin(overtaken) is None
    assert world.outcome(sent) == "SENT"
    assert len(world.mails(thread.profile_id)) == 1


async def test_two_copies_that_find_the_same_mail_send_it_once(world, waiting):
    thread, sent = waiting
    (found,) = await world.found_due()

    await asyncio.gather(*(dispatch_mail(claim_of(found), works=world.works) for _ in range(4)))

    assert len(world.mails(thread.profile_id)) == 1
    assert world.outcome(sent) == "SENT"


async def test_a_deletion_while_a_worker_has_the_mail_lowers_the_number(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    deleted, kept = await thread.send(), await thread.send()
    world.let_pass()
    (found,) = await world.found_due()
    claim = await world.claim(found)

    await world.take(thread.deletion(deleted))
    contents = await world.begin(claim)

    assert contents.count == 1
    assert world.outcome(deleted) == "CANCELLED(DELETED)"
    assert world.outcome(kept) == "TRANSMITTING"


async def test_what_is_read_while_the_provider_says_later_is_not_sent_then(world):
    """It was out of the ledger's hands when the fact came, and is back in them."""
    thread = await world.thread()
    sent = await thread.send()
    world.let_pass()
    (found,) = await world.found_due()
    claim = await world.claim(found)
    assert await world.begin(claim) is not None
    await world.take(thread.reading(Side.PROFILE, sent.sequence))
    await world.works.rounds.record(RecordOutcome(claim=claim, outcome=Outcome.TRY_LATER))
    assert world.outcome(sent) == "HELD"

    world.let_pass()
    await world.dispatch_due()

    assert world.outcome(sent) == "CANCELLED(READ)"
    assert world.mails(thread.profile_id) == []


async def test_a_staff_mail_refused_for_good_does_not_touch_the_patient_s(world, waiting):
    thread, _ = waiting
    world.refuse(thread.staff_id, code=550)
    sent = await thread.send(Side.PROFILE)

    await world.dispatch_due()

    assert world.outcome(sent) == "FAILED(REJECTED)"
    assert len(world.mails(thread.profile_id)) == 1


async def crash_with_the_mail_handed_over(world, thread):
    """The mail server has the mail, and whoever sent it is no more."""
    world.faults.set(Fault(world.address_of(thread.profile_id), hang="after_data"))
    before = len(world.mails(thread.profile_id))
    (found,) = await world.found_due()
    worker = asyncio.create_task(dispatch_mail(claim_of(found), works=world.works))

    async def handed_over():
        return len(world.mails(thread.profile_id)) > before

    await eventually(handed_over)
    worker.cancel()
    await asyncio.wait([worker])
    world.faults.clear()
