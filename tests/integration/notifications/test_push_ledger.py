"""Pushes in the ledger: decided, checked again, handed to every device, recorded (R17, I8, I16,
I41, P4)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.directory_replica.states import ProfileState
from services.messaging_rule import Side
from services.notifications.channels.failures import (
    ChannelFailure,
    DeviceGone,
    NoAnswer,
    PushRefused,
    TryLater,
)
from services.notifications.domain.delivery import Channel
from services.notifications.usecases.dispatch_push import PushWorks, dispatch_push
from tests.support.notifications_world import LONG, claim_of

PUSH = Channel.PUSH


class Provider:
    """Stands where the push services stand: what it was handed, and how it fails for a device."""

    def __init__(self):
        self.sent = []
        self.failures: dict[UUID, ChannelFailure] = {}
        self.turn = None

    def take_turn(self, devices):
        return self.turn

    async def send(self, device, push):
        if (failure := self.failures.get(device.id)) is not None:
            raise failure
        self.sent.append((device.id, push))


async def seven(clinic_id, profile_id):
    return 7


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
async def dispatch_due(world, provider):
    works = PushWorks(rounds=world.works.rounds, get_badge=seven, channel=provider)

    async def dispatch():
        for found in await world.found_due(PUSH):
            await dispatch_push(claim_of(found), works=works)

    return dispatch


@pytest.fixture
async def thread(world):
    return await world.thread()


@pytest.fixture
def phone(world, thread):
    return device_of(world, thread.profile_id)


def device_of(world, profile_id):
    id = uuid4()
    world.has_device(id, profile_id, age=timedelta(0))
    return id


async def test_a_message_to_a_patient_with_the_app_is_pushed_at_once(
    world, thread, phone, provider, dispatch_due
):
    await world.clinic(hold=LONG)

    sent = await thread.send()
    await dispatch_due()

    ((device, push),) = provider.sent
    assert (device, push.badge, push.conversation_id) == (phone, 7, thread.id)
    assert world.outcome(sent, PUSH) == "SENT"
    assert world.outcome(sent) == "HELD"


async def test_without_a_device_the_push_is_skipped_and_the_mail_goes(world, thread):
    sent = await thread.send()

    assert world.outcome(sent, PUSH) == "SKIPPED(NO_DEVICE)"
    assert world.outcome(sent) == "HELD"


async def test_staff_get_no_push(world, thread):
    sent = await thread.send(Side.PROFILE)

    assert world.rows(sent, channel=PUSH) == []


async def test_a_merge_between_decision_and_push_cancels_it(
    world, thread, phone, provider, dispatch_due
):
    sent = await thread.send()

    await world.update(ProfileState, thread.profile_id, merged_into=uuid4(), merge_id=uuid4())
    await dispatch_due()

    assert world.outcome(sent, PUSH) == "CANCELLED(MERGED)"
    assert provider.sent == []


async def test_what_is_deleted_or_read_before_the_push_leaves_is_not_pushed(
    world, thread, phone, provider, dispatch_due
):
    read, deleted = await thread.send(), await thread.send()

    await world.take(thread.reading(Side.PROFILE, read.sequence), thread.deletion(deleted))
    await dispatch_due()

    assert world.outcome(read, PUSH) == "CANCELLED(READ)"
    assert world.outcome(deleted, PUSH) == "CANCELLED(DELETED)"
    assert provider.sent == []


async def test_one_device_that_has_it_is_enough_and_one_that_is_gone_is_dropped(
    world, thread, phone, provider, dispatch_due
):
    old, silent = device_of(world, thread.profile_id), device_of(world, thread.profile_id)
    provider.failures = {old: DeviceGone(), silent: NoAnswer()}
    first = await thread.send()
    await dispatch_due()
    assert world.outcome(first, PUSH) == "SENT"

    provider.failures, provider.sent = {}, []
    await thread.send()
    await dispatch_due()

    assert {device for device, _ in provider.sent} == {phone, silent}


async def test_when_no_device_is_left_the_push_says_so(
    world, thread, phone, provider, dispatch_due
):
    provider.failures = {phone: DeviceGone()}

    sent = await thread.send()
    await dispatch_due()
    later = await thread.send()

    assert world.outcome(sent, PUSH) == "SKIPPED(NO_DEVICE)"
    assert world.outcome(later, PUSH) == "SKIPPED(NO_DEVICE)"


async def test_a_provider_that_asks_for_a_pause_gets_it(
    world, thread, phone, provider, dispatch_due
):
    later = datetime.now(UTC) + timedelta(hours=2)
    provider.failures = {phone: TryLater(not_before=later)}

    sent = await thread.send()
    await dispatch_due()

    (row,) = world.rows(sent, channel=PUSH)
    assert (row["state"], row["due_at"]) == ("HELD", later)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (TryLater(), "HELD"),
        (PushRefused(), "FAILED(REJECTED)"),
        (NoAnswer(), "UNKNOWN(NO_ANSWER)"),
    ],
    ids=["try later", "refused", "no answer"],
)
async def test_a_push_that_nobody_took(
    world, thread, phone, provider, dispatch_due, failure, expected
):
    provider.failures = {phone: failure}

    sent = await thread.send()
    await dispatch_due()

    assert world.outcome(sent, PUSH) == expected


async def test_a_burst_is_one_push_to_each_device(world, thread, phone, provider, dispatch_due):
    burst = [thread.message() for _ in range(3)]

    await world.take(*(sent.event for sent in burst))
    await dispatch_due()

    assert len(provider.sent) == 1
    assert {world.outcome(sent, PUSH) for sent in burst} == {"SENT"}


async def test_what_waits_for_the_provider_s_pace_is_not_lost_and_not_counted(
    world, thread, phone, provider, dispatch_due
):
    provider.turn = datetime.now(UTC) + timedelta(minutes=5)

    sent = await thread.send()
    await dispatch_due()

    (row,) = world.rows(sent, channel=PUSH)
    assert (row["state"], row["due_at"], row["attempts"]) == ("HELD", provider.turn, 0)
    assert provider.sent == []

    provider.turn = None
    world.let_pass()
    await dispatch_due()

    (row,) = world.rows(sent, channel=PUSH)
    assert (row["state"], row["attempts"]) == ("SENT", 1)
