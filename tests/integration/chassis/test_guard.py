"""Whatever goes wrong, a client gets a status of ours, and neither it nor the log gets a value."""

import asyncio
import io
import json
import logging
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from services.chassis import errors, logs
from services.chassis.interceptors.status import DETAILS_KEY, error_info
from tests.support.eventually import eventually
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

CANARY = "CANARY Jane Doe"
KINDS = ("Unary", "Down", "Up", "Both")


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path, SetClock())


@pytest.fixture
def log():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("echo", "info", "json", stream=stream)
    yield stream
    logs.configure("tests", "info", "json")
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(log: io.StringIO, event: str) -> list[dict[str, Any]]:
    records = (json.loads(line) for line in log.getvalue().splitlines())
    return [record for record in records if record["event"] == event]


async def ask(world, kind: str, request=None, **call) -> list[str]:
    """The texts that a method of any kind answers with."""
    request = request or echo_pb2.EchoRequest(text="hello")
    sent = iter([request]) if kind in ("Up", "Both") else request
    answer = getattr(world.echo, kind)(sent, metadata=bearer(world.keys.person()), **call)
    if kind in ("Unary", "Up", "Later"):
        return [(await answer).text]
    return [response.text async for response in answer]


def info_of(error: grpc.aio.AioRpcError) -> ErrorInfo:
    info = error_info(error)
    assert info is not None
    return info


def details(error: grpc.aio.AioRpcError, kind):
    trailer = dict(error.trailing_metadata())[DETAILS_KEY]
    message = kind()
    assert any(each.Unpack(message) for each in Status.FromString(trailer).details)
    return message


def raising(error: BaseException):
    async def behave(request, context):
        raise error

    return EchoServicer(behave)


@pytest.mark.parametrize("kind", ["Unary", "Up", "Both"])
async def test_every_kind_of_call_is_served(keys, kind):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        assert await ask(world, kind) == ["hello"]


async def test_a_stream_of_answers_is_served(keys):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        request = echo_pb2.EchoRequest(text="hello")
        stream = world.echo.Down(request, metadata=bearer(keys.person()))
        texts = [(await stream.read()).text for _ in range(3)]
        stream.cancel()

    assert texts == ["hello"] * 3


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("Unary", "unary_unary"),
        ("Down", "unary_stream"),
        ("Up", "stream_unary"),
        ("Both", "stream_stream"),
    ],
)
@pytest.mark.parametrize("garbage", [b"\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\x7f"])
async def test_bytes_that_are_no_request_are_the_callers_fault(keys, kind, shape, garbage):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        sent = iter([garbage]) if shape.startswith("stream") else garbage
        call = world.raw(kind, shape)(sent, metadata=bearer(keys.person()))
        error = await failure(call if shape.endswith("unary") else call.read())

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_MALFORMED",
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_an_exception_in_a_servicer_is_internal_and_told_to_nobody(keys, log, kind):
    async with serving(keys, [echo_registration(raising(ValueError(CANARY)))]) as world:
        error = await failure(ask(world, kind))

    info = info_of(error)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert (info.reason, info.domain) == ("INTERNAL", "echo.clinic")
    assert CANARY not in str((error.details(), error.trailing_metadata()))
    assert "CANARY" not in log.getvalue()
    [line] = lines(log, "rpc_failed")
    assert line["correlation_id"] == info.metadata["correlation_id"]
    assert line["exception"][0]["error"] == "ValueError"
    assert line["exception"][0]["frames"][-1].endswith("behave")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_that_cannot_be_written_is_internal(keys, log, kind):
    async def behave(request, context):
        return CANARY

    async with serving(keys, [echo_registration(EchoServicer(behave))]) as world:
        error = await failure(ask(world, kind))

    assert (error.code(), reason(error)) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "CANARY" not in log.getvalue() + str(error.details())


class BrokenStep:
    def around(self, method, inner):
        async def serve(call):
            raise KeyError(CANARY)

        return serve


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["first", "last"])
async def test_an_exception_in_a_step_is_internal(keys, log, monkeypatch, kind, where):
    broken = "Roles" if where == "last" else "RequestContext"
    monkeypatch.setattr(f"services.chassis.server.{broken}", BrokenStep)

    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        error = await failure(ask(world, kind))

    assert (error.code(), reason(error)) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "CANARY" not in log.getvalue() + str(error.details())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_call_cancels_its_servicer(keys, kind):
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def behave(request, context):
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(keys, [echo_registration(EchoServicer(behave))]) as world:
        call = asyncio.create_task(ask(world, kind))
        await entered.wait()
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 5)

    assert cancelled.is_set()


async def test_a_cancellation_that_nobody_asked_for_is_answered(keys):
    """As when a future that the servicer waits for is cancelled: unanswered, the client waits."""
    async with serving(keys, [echo_registration(raising(asyncio.CancelledError()))]) as world:
        error = await failure(ask(world, "Unary", timeout=5))

    assert (error.code(), reason(error)) == (grpc.StatusCode.INTERNAL, "INTERNAL")


async def test_a_stream_whose_client_left_ends_quietly(keys, log):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        request = echo_pb2.EchoRequest(text="hello")
        stream = world.echo.Down(request, metadata=bearer(keys.person()))
        await stream.read()
        stream.cancel()
        await eventually(lambda: _ended(log))

    assert lines(log, "rpc_failed") == []
    assert lines(log, "rpc")[0]["code"] == "CANCELLED"


async def _ended(log: io.StringIO) -> list[dict[str, Any]]:
    return lines(log, "rpc")


REFUSALS = [
    errors.InvalidArgument("m", field="text"),
    errors.Unauthenticated("m"),
    errors.SessionEnded("m"),
    errors.PermissionDenied("m"),
    errors.NotFound("m"),
    errors.AlreadyExists("m"),
    errors.OutOfRange("m"),
    errors.Aborted("m"),
    errors.ResourceExhausted("m"),
    errors.Unavailable("m"),
    errors.DeadlineExceeded("m"),
    errors.Unimplemented("m"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: type(refusal).__name__)
async def test_a_refusal_keeps_its_code_and_reason(keys, refusal, kind):
    async with serving(keys, [echo_registration(raising(refusal))]) as world:
        error = await failure(ask(world, kind))

    info = info_of(error)
    assert error.code().name == refusal.code
    assert (info.reason, info.domain) == (refusal.reason, "echo.clinic")
    assert error.details() == "m"


async def test_a_refusal_tells_its_ids(keys):
    refusal = errors.NotFound("no such conversation", conversation_id=str(uuid4()))
    async with serving(keys, [echo_registration(raising(refusal))]) as world:
        error = await failure(ask(world, "Unary"))

    assert dict(info_of(error).metadata) == refusal.metadata


async def test_a_wrong_field_is_named(keys):
    refusal = errors.InvalidArgument("text is too long", field="text")
    async with serving(keys, [echo_registration(raising(refusal))]) as world:
        error = await failure(ask(world, "Unary"))

    assert dict(info_of(error).metadata) == {"field": "text"}
    assert details(error, BadRequest).field_violations[0].field == "text"


async def test_required_fields_are_named(keys):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        request = echo_pb2.EchoRequest()
        error = await failure(world.echo.Unary(request, metadata=bearer(keys.person())))

    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_REQUIRED")
    assert [each.field for each in details(error, BadRequest).field_violations] == ["text"]


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [
        (errors.ResourceExhausted("m", retry_after=2.5), 2.5),
        (errors.Unavailable("m"), 1.0),
        (errors.Aborted("m"), 0.05),
    ],
)
async def test_what_may_be_repeated_says_when(keys, refusal, seconds):
    async with serving(keys, [echo_registration(raising(refusal))]) as world:
        error = await failure(ask(world, "Unary"))

    assert details(error, RetryInfo).retry_delay.ToTimedelta().total_seconds() == seconds


async def test_a_servicer_may_still_abort_by_itself(keys, log):
    async def behave(request, context):
        context.set_trailing_metadata((("x-own", "kept"),))
        await context.abort(grpc.StatusCode.DATA_LOSS, "own words")

    servicer = EchoServicer(behave)
    async with serving(keys, [echo_registration(servicer)], outermost=()) as world:
        error = await failure(ask(world, "Unary"))

    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "own words")
    assert lines(log, "rpc_failed") == []
    assert dict(error.trailing_metadata())["x-own"] == "kept"


async def test_trailers_that_a_servicer_set_are_kept_beside_the_status(keys):
    async def behave(request, context):
        context.set_trailing_metadata((("x-own", "kept"),))
        raise errors.NotFound("m")

    async with serving(keys, [echo_registration(EchoServicer(behave))]) as world:
        error = await failure(ask(world, "Unary"))

    assert reason(error) == "NOT_FOUND"
    assert dict(error.trailing_metadata())["x-own"] == "kept"


async def test_a_method_that_the_servicer_lacks_is_unimplemented(keys):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        error = await failure(ask(world, "Later"))

    assert (error.code(), reason(error)) == (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED")


async def test_a_method_that_nobody_knows_is_unimplemented_and_not_logged_by_name(keys, log):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        error = await failure(world.raw("JaneDoe")(b""))

    assert (error.code(), reason(error)) == (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED")
    assert "JaneDoe" not in log.getvalue()


async def test_denials_are_reported_with_who_and_what(keys):
    seen = []

    async def on_denied(caller, method, why):
        seen.append((caller.actor, method, why))

    servicer = raising(errors.PermissionDenied("m"))
    async with serving(keys, [echo_registration(servicer)], on_denied=on_denied) as world:
        acting = f"staff:{uuid4()}"
        request = echo_pb2.EchoRequest(text="x")
        mine = bearer(keys.person(acting=acting))
        await failure(world.echo.Unary(request, metadata=mine))
        await failure(world.echo.Unary(request, metadata=bearer(keys.machine("ops:support"))))
        await failure(world.echo.Unary(request))

    method = "clinic.tests.v1.EchoService.Unary"
    assert seen == [
        (acting, method, "ROLE_NOT_ALLOWED"),
        ("ops:support", method, "ROLE_NOT_ALLOWED"),
    ]


async def test_a_report_that_fails_does_not_change_the_answer(keys, log):
    async def on_denied(caller, method, why):
        raise ValueError(CANARY)

    servicer = raising(errors.PermissionDenied("m"))
    async with serving(keys, [echo_registration(servicer)], on_denied=on_denied) as world:
        error = await failure(ask(world, "Unary"))

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "ROLE_NOT_ALLOWED",
    )
    assert "CANARY" not in log.getvalue()
    assert len(lines(log, "denial_not_recorded")) == 1


async def test_every_call_leaves_one_line_with_ids_only(keys, log):
    request_id, acting, clinic = str(uuid4()), f"staff:{uuid4()}", str(uuid4())
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        token = keys.person(acting=acting, clinic_id=clinic)
        more = {"x_request_id": request_id, "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        request = echo_pb2.EchoRequest(text=CANARY)
        await world.echo.Unary(request, metadata=bearer(token, **more))

    [line] = lines(log, "rpc")
    assert line["method"] == "EchoService/Unary"
    assert (line["code"], line["actor"], line["clinic_id"]) == ("OK", acting, clinic)
    assert line["request_id"] == request_id.replace("-", "")
    assert line["traceparent"].split("-")[1] == trace
    assert line["duration_ms"] >= 0
    assert "CANARY" not in log.getvalue()
    assert token not in log.getvalue()


async def test_a_request_id_that_is_no_id_does_not_reach_the_log(keys, log):
    async with serving(keys, [echo_registration(EchoServicer())]) as world:
        request = echo_pb2.EchoRequest(text="x")
        metadata = bearer(keys.person(), x_request_id="JaneDoe")
        await world.echo.Unary(request, metadata=metadata)

    assert "JaneDoe" not in log.getvalue()
    assert lines(log, "rpc")[0]["request_id"]


async def test_the_line_of_a_refused_call_says_why(keys, log):
    async with serving(keys, [echo_registration(raising(errors.NotFound("m")))]) as world:
        await failure(ask(world, "Unary"))

    [line] = lines(log, "rpc")
    assert (line["code"], line["reason"]) == ("NOT_FOUND", "NOT_FOUND")
