"""Calls to another service: signed, in time, twice at most, and their failures in our terms."""

import asyncio
import json
from datetime import timedelta
from uuid import uuid4

import pytest
from joserfc.jwk import OKPKey

from services.chassis import errors
from services.chassis.client import Peer, Signer, open_channel
from services.chassis.identity import current_caller
from services.chassis.interceptors import deadline
from services.chassis.settings import RefusedToStart
from services.chassis.telemetry import continue_trace, current_traceparent
from tests.support.grpc_world import (
    EchoServicer,
    Keys,
    echo_pb2,
    echo_pb2_grpc,
    echo_registration,
    serving,
)
from tests.support.set_clock import SetClock

REQUEST = echo_pb2.EchoRequest(text="x")


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path, SetClock())


@pytest.fixture
def peer(keys, tmp_path):
    path = tmp_path / "service-export.jwk"
    path.write_text(json.dumps(keys.machines["service:export"].as_dict(private=True)))
    return Peer("echo", signer=Signer(path, audience="clinic", clock=keys.clock))


class Flaky:
    """Raises the given errors, one a call, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self, request, context):
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return echo_pb2.EchoResponse(text="answered")


def serving_with(keys, behave):
    return serving(keys, [echo_registration(EchoServicer(behave))])


async def test_a_call_is_made_in_the_services_own_name_for_a_clinic(keys, peer):
    async def who(request, context):
        return echo_pb2.EchoResponse(text=f"{current_caller().actor} {current_caller().clinic}")

    clinic = uuid4()
    async with serving_with(keys, who) as world:
        answer = await peer.call(world.echo.Unary, REQUEST, clinic_id=clinic)

    assert answer.text == f"service:export {clinic}"


async def test_a_call_carries_the_trace_on(keys, peer):
    async def trace(request, context):
        return echo_pb2.EchoResponse(text=current_traceparent().split("-")[1])

    async with serving_with(keys, trace) as world:
        ours = continue_trace(None).split("-")[1]
        answer = await peer.call(world.echo.Unary, REQUEST)

    assert answer.text == ours


async def test_what_is_unavailable_is_tried_a_second_time(keys, peer):
    flaky = Flaky(errors.Unavailable("m"))
    async with serving_with(keys, flaky) as world:
        answer = await peer.call(world.echo.Unary, REQUEST)

    assert (answer.text, flaky.calls) == ("answered", 2)


async def test_what_stays_unavailable_is_not_tried_a_third_time(keys, peer):
    flaky = Flaky(*(errors.Unavailable("m") for _ in range(5)))
    async with serving_with(keys, flaky) as world:
        with pytest.raises(errors.Unavailable) as refused:
            await peer.call(world.echo.Unary, REQUEST)

    assert flaky.calls == 2
    assert refused.value.metadata == {"peer": "echo"}


async def test_a_service_that_is_not_there_is_unavailable(peer):
    async with open_channel("127.0.0.1:1") as channel:
        stub = echo_pb2_grpc.EchoServiceStub(channel)
        with pytest.raises(errors.Unavailable):
            await peer.call(stub.Unary, REQUEST)


KEPT = [
    errors.InvalidArgument("m", field="text"),
    errors.NotFound("m"),
    errors.AlreadyExists("m"),
    errors.OutOfRange("m"),
    errors.Aborted("m"),
]


@pytest.mark.parametrize("refusal", KEPT, ids=lambda refusal: type(refusal).__name__)
async def test_a_refusal_keeps_its_kind_and_reason_and_is_not_tried_again(keys, peer, refusal):
    flaky = Flaky(refusal, refusal)
    async with serving_with(keys, flaky) as world:
        with pytest.raises(type(refusal)) as refused:
            await peer.call(world.echo.Unary, REQUEST)

    assert flaky.calls == 1
    assert refused.value.reason == refusal.reason
    assert refused.value.code == refusal.code


async def test_a_reason_of_another_service_is_kept(keys, peer):
    class ConversationArchived(errors.FailedPrecondition):
        reason = "CONVERSATION_ARCHIVED"

    conversation = str(uuid4())
    flaky = Flaky(ConversationArchived("m", conversation_id=conversation))
    async with serving_with(keys, flaky) as world:
        with pytest.raises(errors.FailedPrecondition) as refused:
            await peer.call(world.echo.Unary, REQUEST)

    assert refused.value.reason == "CONVERSATION_ARCHIVED"
    assert refused.value.metadata == {"conversation_id": conversation, "peer": "echo"}


@pytest.mark.parametrize(
    "failure",
    [
        ValueError("fault of theirs"),
        errors.Unauthenticated("m"),
        errors.PermissionDenied("m"),
        errors.ResourceExhausted("m"),
        errors.DeadlineExceeded("m"),
        errors.Unimplemented("m"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_what_the_person_cannot_help_is_unavailable(keys, peer, failure):
    flaky = Flaky(failure)
    async with serving_with(keys, flaky) as world:
        with pytest.raises(errors.Unavailable):
            await peer.call(world.echo.Unary, REQUEST)

    assert flaky.calls == 1


async def test_a_late_answer_is_unavailable(keys, peer):
    async def stuck(request, context):
        await asyncio.Event().wait()

    async with serving_with(keys, stuck) as world:
        with pytest.raises(errors.Unavailable):
            await peer.call(world.echo.Unary, REQUEST, within=timedelta(milliseconds=50))


def having_left(seconds: float) -> None:
    deadline._ends_at.set(asyncio.get_running_loop().time() + seconds)


@pytest.mark.parametrize(
    ("left", "least", "most"), [(None, 0.9, 1.05), (10.0, 0.9, 1.05), (0.5, 0.3, 0.42)]
)
async def test_a_call_takes_less_than_what_is_left_and_a_second_at_most(
    keys, peer, left, least, most
):
    told: list[float] = []

    async def tell(request, context):
        told.append(context.time_remaining())
        return echo_pb2.EchoResponse()

    async def ask():
        if left is not None:
            having_left(left)
        await peer.call(world.echo.Unary, REQUEST)

    async with serving_with(keys, tell) as world:
        await asyncio.create_task(ask())

    assert least < told[0] <= most


async def test_without_time_left_nobody_is_asked(keys, peer):
    flaky = Flaky()

    async def ask():
        having_left(0.1)
        await peer.call(world.echo.Unary, REQUEST)

    async with serving_with(keys, flaky) as world:
        with pytest.raises(errors.DeadlineExceeded):
            await asyncio.create_task(ask())

    assert flaky.calls == 0


async def test_a_stream_that_is_left_is_cancelled_at_the_other_side(keys, peer):
    ended = asyncio.Event()

    async def forever(request, context):
        context.add_done_callback(lambda _: ended.set())
        return echo_pb2.EchoResponse(text="more")

    async with serving_with(keys, forever) as world:
        async with peer.stream(world.echo.Down, REQUEST) as responses:
            async for response in responses:
                assert response.text == "more"
                break
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_stream_that_is_refused_keeps_the_reason(keys, peer):
    async with serving_with(keys, Flaky(errors.OutOfRange("m"))) as world:
        with pytest.raises(errors.OutOfRange) as refused:
            async with peer.stream(world.echo.Down, REQUEST) as responses:
                _ = [response async for response in responses]

    assert refused.value.reason == "POSITION_GONE"


async def test_a_cancelled_call_is_cancelled_at_the_other_side(keys, peer):
    entered, ended = asyncio.Event(), asyncio.Event()

    async def stuck(request, context):
        context.add_done_callback(lambda _: ended.set())
        entered.set()
        await asyncio.Event().wait()

    async with serving_with(keys, stuck) as world:
        call = asyncio.create_task(peer.call(world.echo.Unary, REQUEST))
        await entered.wait()
        call.cancel()
        await asyncio.wait_for(ended.wait(), 0.9)

    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.parametrize("content", [None, "", "{", '{"kty": "OKP"}', "public", "nameless"])
def test_a_signing_key_that_is_not_right_keeps_the_process_from_starting(tmp_path, content):
    key = OKPKey.generate_key("Ed25519", {"kid": "service:export"})
    contents = {
        "public": json.dumps(key.as_dict(private=False)),
        "nameless": json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True)),
    }
    path = tmp_path / "service-export.jwk"
    if content is not None:
        path.write_text(contents.get(content, content))

    with pytest.raises(RefusedToStart, match=r"service-export\.jwk"):
        Signer(path, audience="clinic")


def test_a_signer_does_not_show_its_key(tmp_path):
    key = OKPKey.generate_key("Ed25519", {"kid": "service:export"})
    path = tmp_path / "service-export.jwk"
    path.write_text(json.dumps(key.as_dict(private=True)))

    assert str(key.as_dict(private=True)["d"]) not in repr(Signer(path, audience="clinic"))
