"""Every unary call ends in time and says so; whoever works for it knows how long it has."""

import asyncio
from datetime import timedelta

import grpc
import pytest

from services.chassis.interceptors.deadline import Deadline, remaining
from tests.support.grpc_world import (
    EchoServicer,
    Keys,
    bearer,
    echo,
    echo_pb2,
    echo_registration,
    failure,
    reason,
    serving,
)
from tests.support.set_clock import SetClock

SHORT = timedelta(milliseconds=50)
REQUEST = echo_pb2.EchoRequest(text="x")


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path, SetClock())


class Stuck:
    """Waits for ever, and notes that it was ended."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def __call__(self, request, context):
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


async def test_a_call_without_deadline_gets_the_default_one(keys):
    stuck = Stuck()
    deadline = Deadline(default=SHORT)
    async with serving(keys, [echo_registration(EchoServicer(stuck))], deadline=deadline) as world:
        error = await failure(world.echo.Unary(REQUEST, metadata=bearer(keys.person())))

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
    )
    assert stuck.ended.is_set()


async def test_a_long_deadline_is_cut_to_the_most(keys):
    stuck = Stuck()
    deadline = Deadline(most=SHORT)
    async with serving(keys, [echo_registration(EchoServicer(stuck))], deadline=deadline) as world:
        call = world.echo.Unary(REQUEST, metadata=bearer(keys.person()), timeout=60)
        error = await failure(call)

    assert reason(error) == "DEADLINE_EXCEEDED"
    assert stuck.ended.is_set()


async def test_the_clients_own_deadline_ends_the_servicer_too(keys):
    stuck = Stuck()
    async with serving(keys, [echo_registration(EchoServicer(stuck))]) as world:
        call = world.echo.Unary(REQUEST, metadata=bearer(keys.person()), timeout=0.05)
        error = await failure(call)
        await asyncio.wait_for(stuck.ended.wait(), 1)

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_servicers_own_timeout_is_not_taken_for_the_deadline(keys):
    async def impatient(request, context):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    async with serving(keys, [echo_registration(EchoServicer(impatient))]) as world:
        error = await failure(world.echo.Unary(REQUEST, metadata=bearer(keys.person())))

    assert reason(error) == "INTERNAL"


@pytest.mark.parametrize(
    ("given", "least", "most"), [(None, 2.5, 3.0), (2.0, 1.5, 2.1), (60.0, 9.5, 10.0)]
)
async def test_what_is_left_is_told(keys, given, least, most):
    told: list[float | None] = []

    async def tell(request, context):
        told.append(remaining())
        return await echo(request, context)

    async with serving(keys, [echo_registration(EchoServicer(tell))]) as world:
        await world.echo.Unary(REQUEST, metadata=bearer(keys.person()), timeout=given)

    assert told[0] is not None
    assert least < told[0] <= most


async def test_a_stream_is_not_cut(keys):
    told: list[float | None] = []

    async def tell(request, context):
        told.append(remaining())
        return await echo(request, context)

    deadline = Deadline(default=timedelta(0), most=timedelta(0))
    async with serving(keys, [echo_registration(EchoServicer(tell))], deadline=deadline) as world:
        stream = world.echo.Down(REQUEST, metadata=bearer(keys.person()))
        await stream.read()
        await stream.read()
        stream.cancel()

    assert set(told) == {None}


async def test_outside_of_a_call_there_is_no_end():
    assert remaining() is None
