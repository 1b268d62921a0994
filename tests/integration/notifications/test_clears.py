"""Silent pushes take back what was read or deleted, and set the badge (I16, I17, R21)."""

from datetime import timedelta
from uuid import uuid4

import pytest

from services.chassis.errors import Unavailable
from services.messaging_rule import Side
from services.notifications.channels.pace import Pace
from services.notifications.channels.push import PushChannel
from services.notifications.channels.push_tokens import PushTokens
from services.notifications.domain.delivery import Channel
from services.notifications.domain.device import Platform
from services.notifications.storage.clears import WaitingClears
from services.notifications.usecases.clear_pushes import ClearWorks, clear_pushes
from services.notifications.usecases.dispatch_push import PushWorks, dispatch_push
from tests.integration.notifications.test_devices import APNS, FCM, a_phone, a_token
from tests.support.conversations_world import SEALING_KEY
from tests.support.eventually import eventually
from tests.support.notifications_world import claim_of

MINUTE = timedelta(minutes=1)


class Pushed:
    """A thread whose patient has a phone, and what came to it."""

    def __init__(self, world, thread, token):
        self.world = world
        self.thread = thread
        self.token = token
        self.badge = 4
        self.conversations_reachable = True

    async def get_badge(self, clinic_id, profile_id):
        if not self.conversations_reachable:
            raise Unavailable("Conversations is out of reach")
        return self.badge

    async def message(self):
        sent = await self.thread.send()
        await self.dispatch_pushes()
        return sent

    async def dispatch_pushes(self):
        """Of the whole clinic."""
        rounds = self.world.works.rounds
        works = PushWorks(rounds=rounds, get_badge=self.get_badge, channel=self.world.push)
        for found in await self.world.found_due(Channel.PUSH):
            await dispatch_push(claim_of(found), works=works)

    async def read(self, up_to):
        await self.world.take(self.thread.reading(Side.PROFILE, up_to))

    async def delete(self, sent):
        await self.world.take(self.thread.deletion(sent))

    async def clear(self, *, after=MINUTE):
        """What a copy of the service does some time later; how much was due."""
        world = self.world
        world._execute(
            "update push_clears set due_at = due_at - %(after)s, wanted_at = wanted_at - %(after)s"
            " where clinic_id = %(clinic)s",
            after=after,
        )
        works = ClearWorks(storage=world.storage, get_badge=self.get_badge, channel=world.push)
        due = [
            clear
            for clear in await WaitingClears(world.worker).due(most=1_000)
            if clear.clinic_id == world.clinic_id
        ]
        for clear in due:
            await clear_pushes(clear, works=works)
        return len(due)

    def came(self):
        """Oldest first: what kind, with which badge, of which conversation."""
        return [
            (
                push.payload["kind"],
                push.payload["aps"].get("badge", push.payload.get("badge")),
                push.payload.get("conversation_id") == str(self.thread.id),
            )
            for push in reversed(self.world.sink.taken(self.token))
        ]


@pytest.fixture
async def pushed(world):
    world.sink.faults.clear()
    return await a_pushed(world, uuid4().hex * 2, APNS)


async def a_pushed(world, token, platform):
    thread = await world.thread()
    phone = await a_phone(world, thread.profile_id)
    await phone.register(token, platform=platform)
    return Pushed(world, thread, token)


async def test_what_was_read_is_taken_back_with_the_new_badge(pushed):
    await pushed.message()
    pushed.badge = 0

    await pushed.read(1)
    await pushed.clear()

    assert pushed.came() == [("message", 4, True), ("clear", 0, True)]


async def test_it_is_taken_back_once_however_often_it_is_read(pushed):
    await pushed.message()
    await pushed.message()

    await pushed.read(1)
    await pushed.read(2)
    assert await pushed.clear() == 1
    await pushed.read(2)

    assert await pushed.clear() == 0
    assert [kind for kind, _, _ in pushed.came()] == ["message", "message", "clear"]


async def test_a_further_message_is_taken_back_anew(pushed):
    await pushed.message()
    await pushed.read(1)
    await pushed.clear()
    await pushed.message()

    await pushed.read(2)
    await pushed.clear()

    assert [kind for kind, _, _ in pushed.came()] == ["message", "clear", "message", "clear"]


async def test_what_was_deleted_is_taken_back(pushed):
    sent = await pushed.message()
    pushed.badge = 0

    await pushed.delete(sent)
    await pushed.clear()

    assert pushed.came() == [("message", 4, True), ("clear", 0, True)]


async def test_while_another_is_unread_only_the_badge_changes(pushed):
    first = await pushed.message()
    await pushed.message()
    pushed.badge = 1

    await pushed.delete(first)
    await pushed.clear()

    assert pushed.came()[-1] == ("clear", 1, False)


async def test_what_was_never_pushed_needs_no_taking_back(pushed):
    sent = await pushed.thread.send()
    await pushed.read(1)
    await pushed.delete(sent)
    await pushed.world.take(pushed.thread.reading(Side.STAFF, 1))

    assert await pushed.clear() == 0
    assert pushed.came() == []


async def test_without_a_device_there_is_nothing_to_take_back_from(pushed):
    await pushed.message()
    pushed.world._execute("delete from devices where clinic_id = %(clinic)s")

    await pushed.read(1)
    await pushed.clear()

    assert await pushed.clear() == 0
    assert [kind for kind, _, _ in pushed.came()] == ["message"]


async def test_what_a_provider_does_not_take_is_tried_a_few_times(pushed):
    await pushed.message()
    pushed.world.sink.fail(pushed.token, status=429)

    await pushed.read(1)
    tried = [await pushed.clear(after=5 * MINUTE) for _ in range(7)]

    assert tried == [1, 1, 1, 1, 1, 0, 0]


async def test_it_expires(pushed):
    await pushed.message()
    pushed.conversations_reachable = False

    await pushed.read(1)
    tried = [await pushed.clear(after=31 * MINUTE) for _ in range(4)]

    assert tried == [1, 1, 0, 0]


async def test_a_provider_that_is_back_is_told(pushed):
    await pushed.message()
    pushed.world.sink.fail(pushed.token, status=429, retry_after=30)
    await pushed.read(1)
    await pushed.clear()
    pushed.world.sink.faults.clear()

    await pushed.clear()

    assert [kind for kind, _, _ in pushed.came()] == ["message", "clear"]


async def test_a_device_that_is_gone_is_dropped(pushed):
    await pushed.message()
    pushed.world.sink.fail(pushed.token, status=410, reason="Unregistered")

    await pushed.read(1)
    await pushed.clear()

    assert pushed.world._execute("select 1 from devices where clinic_id = %(clinic)s") == []


async def test_what_waits_for_the_provider_s_pace_waits_however_often(pushed, monkeypatch):
    await pushed.message()
    pace = Pace(1 / 60)
    pace.take(1)
    monkeypatch.setattr(
        pushed.world, "push", paced_pushes(pushed.world.sink, {Platform.APNS: pace})
    )
    await pushed.read(1)

    tried = [await pushed.clear(after=7 * MINUTE) for _ in range(6)]
    assert tried == [1] * 6
    assert [kind for kind, _, _ in pushed.came()] == ["message"]

    monkeypatch.setattr(pushed.world, "push", paced_pushes(pushed.world.sink, {}))
    await pushed.clear(after=7 * MINUTE)
    assert [kind for kind, _, _ in pushed.came()] == ["message", "clear"]


async def test_a_provider_that_has_had_its_second_s_worth_holds_up_no_other(world, monkeypatch):
    world.sink.faults.clear()
    paces = {Platform.FCM: Pace(1), Platform.APNS: Pace(1)}
    monkeypatch.setattr(world, "push", paced_pushes(world.sink, paces))
    android = [await a_pushed(world, a_token(), FCM) for _ in range(3)]
    apple = await a_pushed(world, uuid4().hex * 2, APNS)
    for each in (*android, apple):
        await each.thread.send()

    await apple.dispatch_pushes()

    assert len(world.sink.taken(apple.token)) == 1
    assert sum(len(world.sink.taken(each.token)) for each in android) == 1

    async def all_have_theirs():
        await apple.dispatch_pushes()
        return all(len(world.sink.taken(each.token)) == 1 for each in android)

    await eventually(all_have_theirs)


def paced_pushes(sink, paces):
    providers = {Platform.FCM: sink.fcm(), Platform.APNS: sink.apns()}
    return PushChannel(PushTokens(SEALING_KEY), providers, paces=paces)
