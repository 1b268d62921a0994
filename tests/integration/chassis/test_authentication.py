"""Who may call, through a real channel: the token first, then the role of the method."""

from uuid import uuid4

import grpc
import pytest

from services.chassis.identity import current_caller
from tests.support.grpc_world import (
    EchoServicer,
    Keys,
    bearer,
    echo_pb2,
    echo_registration,
    failure,
    reason,
    serving,
)
from tests.support.set_clock import SetClock


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
async def world(tmp_path, clock):
    async def who(request, context):
        caller = current_caller()
        return echo_pb2.EchoResponse(text=f"{caller.actor} {caller.clinic_id}")

    keys = Keys(tmp_path, clock)
    async with serving(keys, [echo_registration(EchoServicer(who))]) as world:
        yield world


async def ask(world, token: str | None, **more: str) -> str:
    request = echo_pb2.EchoRequest(text="x")
    metadata = bearer(token, **more) if token is not None else ()
    answer = await world.echo.Unary(request, metadata=metadata)
    return str(answer.text)


async def test_a_person_is_known_to_the_servicer(world):
    acting, clinic = f"staff:{uuid4()}", str(uuid4())

    assert await ask(world, world.keys.person(acting=acting, clinic_id=clinic)) == (
        f"{acting} {clinic}"
    )


async def test_two_callers_at_once_are_not_taken_for_each_other(world):
    stream = world.echo.Both(metadata=bearer(world.keys.person(acting=(mine := _staff()))))
    await stream.write(echo_pb2.EchoRequest(text="x"))
    first = await stream.read()
    other = await ask(world, world.keys.person(acting=(theirs := _staff())))
    await stream.write(echo_pb2.EchoRequest(text="x"))
    second = await stream.read()
    await stream.done_writing()

    assert first.text.startswith(mine)
    assert second.text.startswith(mine)
    assert other.startswith(theirs)


def _staff() -> str:
    return f"staff:{uuid4()}"


@pytest.mark.parametrize(
    "token", [None, "", "nonsense", "a.b.c"], ids=["none", "empty", "nonsense", "shape"]
)
async def test_nobody_we_know_is_unauthenticated(world, token):
    error = await failure(ask(world, token))

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "UNAUTHENTICATED",
    )


async def test_an_expired_token_is_unauthenticated(world, clock):
    token = world.keys.person()
    await ask(world, token)

    clock.advance(seconds=600)

    assert reason(await failure(ask(world, token))) == "UNAUTHENTICATED"


async def test_a_role_that_may_not_call_is_denied(world):
    error = await failure(ask(world, world.keys.person(acting=f"profile:{uuid4()}")))

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "ROLE_NOT_ALLOWED",
    )


async def test_a_service_calls_what_names_it(world):
    clinic = str(uuid4())

    answer = await ask(world, world.keys.machine("service:export"), clinic_id=clinic)

    assert answer == f"service:export {clinic}"


@pytest.mark.parametrize("name", ["service:directory", "ops:support"])
async def test_a_machine_that_is_not_named_is_denied(world, name):
    assert reason(await failure(ask(world, world.keys.machine(name)))) == "ROLE_NOT_ALLOWED"


async def test_a_person_cannot_choose_a_clinic(world):
    clinic = str(uuid4())

    answer = await ask(world, world.keys.person(clinic_id=clinic), clinic_id=str(uuid4()))

    assert answer.endswith(clinic)


async def test_roles_are_refused_before_the_request_is_looked_at(world):
    token = world.keys.person(acting=f"profile:{uuid4()}")

    error = await failure(world.raw("Unary")(b"\xff", metadata=bearer(token)))

    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
