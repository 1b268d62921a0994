"""What runs of its own accord: the bus, the clock, changed states; and races between them (P4)."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from services.chassis.bus import Bus, PullConsumer
from services.chassis.inbox import Intake, take_from_bus
from services.chassis.outbox import Signal
from services.directory_replica.states import EndCause, ProfileState
from services.messaging_rule import Side
from services.notifications.consumers.conversations_events import handler
from services.notifications.consumers.directory_changes import draw_consequences
from services.notifications.consumers.due_dispatches import DueDispatches
from services.notifications.domain.delivery import Channel, Recipient
from services.notifications.domain.fact import MessageSent
from services.notifications.domain.message import Message
from services.notifications.storage.lag import Lag
from services.notifications.storage.unit_of_work import CONSUMER
from services.notifications.usecases.dispatch_mail import dispatch_mail
from services.notifications.usecases.take_facts import take_facts
from tests.support.eventually import eventually
from tests.support.notifications_world import LONG

MINUTE = timedelta(minutes=1)


@asynccontextmanager
async def in_background(*works):
    """What runs for ever, for as long as the block."""
    tasks = [asyncio.create_task(work()) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@pytest.fixture
async def conversations_bus(nats_server):
    """Where conversations publishes, and our consumer of it."""
    theirs = Bus(nats_server.url("conversations"), service="conversations")
    ours = Bus(nats_server.url("notifications"), service="notifications")
    async with in_background(theirs.run, ours.run):

        async def connected():
            return theirs.connected and ours.connected

        await eventually(connected)
        await theirs.ensure_stream("conversations")
        yield theirs, ours
    await theirs.close()
    await ours.close()


async def test_from_the_bus_to_the_mail_and_twice_is_once(world, conversations_bus):
    theirs, ours = conversations_bus
    pull = PullConsumer(ours, source="conversations", durable=CONSUMER)
    intake = Intake(
        consumer=CONSUMER, app=world.app, worker=world.worker, handle=handler(world.storage)
    )
    due_mail = DueDispatches(
        world.due, Channel.EMAIL, partial(dispatch_mail, works=world.works), wake=Signal()
    )
    thread = await world.thread()
    sent = thread.message()

    async with in_background(partial(take_from_bus, pull, intake), due_mail.run):
        await theirs.publish(sent.event)
        await intake.take([sent.event])

        async def is_sent():
            return world.rows(sent) and world.outcome(sent) == "SENT"

        await eventually(is_sent)
        assert len(world.mails(thread.profile_id)) == 1


async def test_mail_leaves_by_itself_when_it_is_due(world):
    await world.clinic(hold=timedelta(seconds=0.3))
    due_mail = DueDispatches(
        world.due, Channel.EMAIL, partial(dispatch_mail, works=world.works), wake=Signal()
    )
    thread = await world.thread()

    async with in_background(due_mail.run):
        sent = await thread.send()

        async def is_sent():
            return world.outcome(sent) == "SENT"

        await eventually(is_sent)


async def test_mail_under_way_may_end_when_the_service_stops(world):
    thread = await world.thread()
    sent = await thread.send()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(command):
        begun.set()
        await go_on.wait()
        await dispatch_mail(command, works=world.works)

    service = asyncio.create_task(
        DueDispatches(world.due, Channel.EMAIL, slow, wake=Signal()).run()
    )
    await begun.wait()
    service.cancel()
    go_on.set()
    await asyncio.wait([service])

    assert world.outcome(sent) == "SENT"


async def test_changed_states_are_noticed_without_being_asked(world):
    await world.clinic(hold=LONG)
    applied = Signal()
    noticing = partial(draw_consequences, world.due, world.storage, applied=applied)
    thread = await world.thread()
    sent = await thread.send()

    async with in_background(noticing):
        await world.update(ProfileState, thread.profile_id, do_not_email=True)
        applied.set()

        async def is_cancelled():
            return world.outcome(sent) == "CANCELLED(DO_NOT_EMAIL)"

        await eventually(is_cancelled)


async def test_a_session_end_that_overtakes_the_decision_loses_no_mail(world):
    await world.clinic(hold=LONG)
    now = datetime.now(UTC)
    thread = await world.thread()
    session = await world.session(thread.staff_id, opened_at=now - LONG)
    sent = thread.message(Side.PROFILE, at=now)
    decided, commit = asyncio.Event(), asyncio.Event()

    async def decide_slowly(tx, facts):
        await take_facts(tx, facts)
        decided.set()
        await commit.wait()

    deciding = asyncio.create_task(world.storage.act_on_all(decide_slowly, [fact_of(sent)]))
    await decided.wait()
    await world.end(session, at=now - MINUTE, cause=EndCause.LOGOUT)
    reconsidering = asyncio.create_task(world.reconsider())
    await asyncio.wait([reconsidering], timeout=0.2)
    commit.set()
    await asyncio.gather(deciding, reconsidering)

    assert world.outcome(sent) == "HELD"


def fact_of(sent):
    return MessageSent(
        clinic_id=sent.event.clinic_id,
        event_id=sent.event.event_id,
        trace="",
        message=Message(
            id=sent.id, conversation_id=sent.thread.id, sequence=sent.sequence, sent_at=sent.at
        ),
        recipient=Recipient(Side.STAFF, sent.thread.staff_id),
    )


async def test_a_burst_that_is_decided_at_once_makes_one_mail(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    burst = [thread.message() for _ in range(6)]

    await asyncio.gather(*(world.take(sent.event) for sent in burst))

    assert len({row["dispatch_id"] for row in world.rows()}) == 1


async def test_a_deletion_that_races_with_its_message_wins(world):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    for _ in range(10):
        sent = thread.message()

        await asyncio.gather(world.take(sent.event), world.take(thread.deletion(sent)))

        assert world.outcome(sent) == "CANCELLED(DELETED)"


async def test_nothing_written_down_holds_a_name_or_an_address(world, capfd):
    thread = await world.thread()
    world.refuse(thread.profile_id, code=550)
    await thread.send()
    await thread.send(Side.PROFILE)
    await world.dispatch_due()

    written = world.everything_stored() + "".join(capfd.readouterr())
    mails = b"".join(mail.raw for mail in world.mails(thread.staff_id)).decode()

    for secret in (world.address_of(thread.profile_id), world.address_of(thread.staff_id)):
        assert secret not in written
    assert "CANARY" not in written + mails


async def test_how_late_mail_is_can_be_seen(world):
    world.forget_other_clinics()
    thread = await world.thread()
    await thread.send()
    world.let_pass(LONG)
    lag = Lag(world.worker)

    late = await lag.seconds()
    await world.dispatch_due()

    assert late[Channel.EMAIL] >= LONG.total_seconds()
    assert (await lag.seconds())[Channel.EMAIL] < LONG.total_seconds()
