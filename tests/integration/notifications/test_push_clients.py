"""The clients of FCM and APNs against services that fail as those do."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.notifications.channels.failures import DeviceGone, NoAnswer, PushRefused, TryLater
from services.notifications.domain.push import WORDS, Push
from tests.support.eventually import eventually
from tests.support.push_sink import push_sink

TOKEN = "ab" * 32
SHORT = 0.3


@pytest.fixture
async def sink(tmp_path):
    async with push_sink(tmp_path) as sink:
        yield sink


@pytest.fixture(params=["fcm", "apns"])
async def service(request, sink):
    """Either of the two, with little patience."""
    client = getattr(sink, request.param)(seconds=SHORT)
    client.name = request.param
    yield client
    await client.close()


def a_push(**changes):
    conversation_id = uuid4()
    push = Push(
        dispatch_id=uuid4(),
        collapse_id=conversation_id,
        profile_id=uuid4(),
        conversation_id=conversation_id,
        badge=3,
    )
    return replace(push, **changes)


class Clock:
    def __init__(self):
        self.now = datetime.now(UTC)

    def __call__(self):
        return self.now


async def test_google_gets_ids_a_number_and_a_constant_sentence(sink):
    fcm, push = sink.fcm(), a_push()

    await fcm.send("some:token", push)

    [taken] = sink.taken("some:token")
    assert taken.payload == {
        "notification": {"body": WORDS},
        "data": {
            "kind": "message",
            "profile_id": str(push.profile_id),
            "conversation_id": str(push.conversation_id),
            "badge": "3",
        },
        "android": {
            "collapse_key": str(push.collapse_id),
            "priority": "HIGH",
            "ttl": "86400s",
            "notification": {"tag": str(push.collapse_id), "notification_count": 3},
        },
    }
    await fcm.close()


async def test_apple_gets_ids_a_number_and_a_constant_sentence(sink):
    clock, push = Clock(), a_push()
    apns = sink.apns(clock=clock)

    await apns.send(TOKEN, push)

    [taken] = sink.taken(TOKEN)
    assert taken.payload == {
        "aps": {
            "alert": {"body": WORDS},
            "sound": "default",
            "thread-id": str(push.collapse_id),
            "badge": 3,
        },
        "kind": "message",
        "profile_id": str(push.profile_id),
        "conversation_id": str(push.conversation_id),
    }
    assert taken.headers == {
        "apns-topic": "localhost.clinic.app",
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": str(int((clock.now + timedelta(days=1)).timestamp())),
        "apns-collapse-id": str(push.collapse_id),
    }
    await apns.close()


async def test_a_silent_push_shows_nothing(sink):
    push = a_push(silent=True, badge=0)
    fcm, apns = sink.fcm(), sink.apns()

    await fcm.send("some:token", push)
    await apns.send(TOKEN, push)

    google, apple = sink.taken("some:token")[0], sink.taken(TOKEN)[0]
    assert "notification" not in google.payload
    assert google.payload["data"]["badge"] == "0"
    assert google.payload["android"]["priority"] == "NORMAL"
    assert apple.payload["aps"] == {"content-available": 1}
    assert apple.payload["badge"] == 0
    assert apple.headers["apns-push-type"] == "background"
    await fcm.close()
    await apns.close()


async def test_a_push_of_several_threads_names_none_and_an_unknown_number_is_left_out(sink):
    push = a_push(conversation_id=None, badge=None)
    fcm, apns = sink.fcm(), sink.apns()

    await fcm.send("some:token", push)
    await apns.send(TOKEN, push)

    assert "conversation_id" not in sink.taken("some:token")[0].payload["data"]
    assert "badge" not in sink.taken("some:token")[0].payload["data"]
    assert "conversation_id" not in sink.taken(TOKEN)[0].payload
    assert "badge" not in sink.taken(TOKEN)[0].payload["aps"]
    await fcm.close()
    await apns.close()


async def test_many_pushes_share_one_connection(sink):
    apns = sink.apns()

    await asyncio.gather(*(apns.send(TOKEN, a_push()) for _ in range(40)))
    for _ in range(5):
        await apns.send(TOKEN, a_push())

    assert len(sink.taken(TOKEN)) == 45
    assert sink.connections == 1
    await apns.close()


async def test_an_access_token_is_fetched_once_and_anew_ahead_of_its_end(sink):
    clock, sign_ins = Clock(), []
    sign_in = sink.google.sign_in

    def counted(form):
        sign_ins.append(form)
        return sign_in(form)

    sink.google.sign_in = counted
    fcm = sink.fcm(clock=clock)

    await asyncio.gather(*(fcm.send("some:token", a_push()) for _ in range(10)))
    assert len(sign_ins) == 1
    clock.now += timedelta(minutes=56)
    sink.fail("oauth", status=503)
    await fcm.send("some:token", a_push())

    assert len(sink.taken("some:token")) == 11
    await fcm.close()


async def test_an_access_token_that_is_not_taken_any_more_is_replaced(sink):
    fcm = sink.fcm()
    await fcm.send("some:token", a_push())
    sink.google.revoke()

    with pytest.raises(TryLater):
        await fcm.send("some:token", a_push())

    await fcm.send("some:token", a_push())
    assert len(sink.taken("some:token")) == 2
    await fcm.close()


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ({"status": 400, "reason": "invalid_grant"}, PushRefused),
        ({"status": 503}, TryLater),
        ({"reset": "stream"}, TryLater),
        ({"hang": "after_request"}, TryLater),
    ],
    ids=["refused", "down", "reset", "hangs"],
)
async def test_a_sign_in_that_fails_sends_nothing(sink, fault, failure):
    fcm = sink.fcm(seconds=SHORT)
    sink.fail("oauth", **fault)

    with pytest.raises(failure):
        await fcm.send("some:token", a_push())

    assert sink.taken() == []
    await fcm.close()


async def test_a_provider_token_is_kept_for_forty_minutes(sink):
    clock = Clock()
    apns = sink.apns(clock=clock)
    tokens = apns._tokens
    first = tokens.get()

    clock.now += timedelta(minutes=39)
    assert tokens.get() == first
    clock.now += timedelta(minutes=1)

    assert tokens.get() != first
    await apns.close()


async def test_a_provider_token_that_is_too_old_is_replaced(sink):
    clock = Clock()
    clock.now -= timedelta(hours=2)
    apns = sink.apns(clock=clock)

    with pytest.raises(TryLater):
        await apns.send(TOKEN, a_push())

    clock.now += timedelta(hours=2)
    await apns.send(TOKEN, a_push())
    await apns.close()


async def test_a_device_that_is_gone_is_told_apart_from_a_push_that_is_refused(sink):
    fcm, apns = sink.fcm(), sink.apns()

    sink.fail("some:token", status=404, reason="UNREGISTERED")
    with pytest.raises(DeviceGone):
        await fcm.send("some:token", a_push())
    sink.fail("some:token", status=404, reason="NOT_FOUND")
    with pytest.raises(PushRefused):
        await fcm.send("some:token", a_push())
    sink.fail(TOKEN, status=410, reason="Unregistered")
    with pytest.raises(DeviceGone):
        await apns.send(TOKEN, a_push())
    sink.fail(TOKEN, status=400, reason="BadDeviceToken")
    with pytest.raises(PushRefused):
        await apns.send(TOKEN, a_push())
    await fcm.close()
    await apns.close()


@pytest.mark.parametrize("status", [400, 403, 413])
async def test_what_will_never_be_taken_is_refused(sink, service, status):
    sink.fail(TOKEN, status=status, reason="INVALID_ARGUMENT")

    with pytest.raises(PushRefused):
        await service.send(TOKEN, a_push())

    assert sink.taken() == []


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_when_to_try_again_is_what_the_service_says(sink, service, status):
    sink.fail(TOKEN, status=status, reason="QUOTA_EXCEEDED", retry_after=120)
    before = datetime.now(UTC)

    with pytest.raises(TryLater) as raised:
        await service.send(TOKEN, a_push())

    not_before = raised.value.not_before
    assert not_before is not None
    assert timedelta(seconds=119) < not_before - before < timedelta(seconds=125)


async def test_without_a_word_of_when_it_is_for_us_to_choose(sink, service):
    sink.fail(TOKEN, status=503)

    with pytest.raises(TryLater) as raised:
        await service.send(TOKEN, a_push())

    assert raised.value.not_before is None


@pytest.mark.parametrize(
    "fault",
    [{"hang": "after_request"}, {"reset": "stream"}, {"reset": "connection"}],
    ids=["hangs", "resets the stream", "resets the connection"],
)
async def test_silence_after_the_request_leaves_it_open_whether_it_was_taken(sink, service, fault):
    sink.fail(TOKEN, **fault)

    with pytest.raises(NoAnswer):
        await service.send(TOKEN, a_push())

    assert len(sink.taken(TOKEN)) == 1
    sink.faults.clear()
    await service.send(TOKEN, a_push())


async def test_a_stream_that_nobody_looked_at_is_tried_later(sink, service):
    sink.fail(TOKEN, reset="refused")

    with pytest.raises(TryLater):
        await service.send(TOKEN, a_push())

    assert sink.taken() == []


async def test_a_service_that_is_not_there_is_tried_later(sink):
    apns = sink.apns()
    apns._transport._base_url = "http://127.0.0.1:1"

    with pytest.raises(TryLater):
        await apns.send(TOKEN, a_push())

    await apns.close()


async def test_who_waits_behind_a_service_that_reads_nothing_was_not_sent(sink):
    apns = sink.apns(seconds=SHORT)
    sink.fail(hang="before_request")

    outcomes = await asyncio.gather(
        *(apns.send(TOKEN, a_push()) for _ in range(3)), return_exceptions=True
    )

    # One is on its way before the service has said how many it takes; the others are not.
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "NoAnswer",
        "TryLater",
        "TryLater",
    ]
    assert sink.taken() == []
    await apns.close()


async def test_a_slow_service_is_waited_for(sink, service):
    sink.fail(TOKEN, slow=SHORT / 3)

    await service.send(TOKEN, a_push())

    assert sink.taken(TOKEN)[0].answered


async def test_a_connection_that_was_closed_while_it_was_idle_loses_no_push(sink, service):
    await service.send(TOKEN, a_push())
    made = sink.connections

    async def noticed():
        return not service._transport._connection.is_fit

    sink.hang_up()
    await eventually(noticed)
    await service.send(TOKEN, a_push())

    assert sink.connections > made
    assert len(sink.taken(TOKEN)) == 2


async def test_a_service_that_hangs_takes_at_most_eight_and_is_then_left_alone(sink):
    apns = sink.apns(seconds=SHORT)
    sink.fail(TOKEN, hang="after_request")

    outcomes = await asyncio.gather(
        *(apns.send(TOKEN, a_push()) for _ in range(20)), return_exceptions=True
    )
    taken = len(sink.taken(TOKEN))
    with pytest.raises(TryLater) as raised:
        await apns.send(TOKEN, a_push())

    assert all(isinstance(outcome, (NoAnswer, TryLater)) for outcome in outcomes)
    assert raised.value.not_before is not None
    assert len(sink.taken(TOKEN)) == taken
    await apns.close()


async def test_after_a_pause_one_push_tries_whether_the_service_is_back(sink):
    clock = Clock()
    apns = sink.apns(clock=clock)
    sink.fail(TOKEN, status=503)
    for _ in range(4):
        with pytest.raises(TryLater):
            await apns.send(TOKEN, a_push())
    sink.faults.clear()
    clock.now += timedelta(seconds=2)
    sink.fail(TOKEN, slow=SHORT)

    outcomes = await asyncio.gather(
        *(apns.send(TOKEN, a_push()) for _ in range(3)), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), TryLater, TryLater]
    await apns.send(TOKEN, a_push())
    await apns.close()
