"""Who and what a call is, for logs, metrics and traces."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from uuid import UUID

import grpc

from services.chassis.errors import DomainError
from services.chassis.interceptors.call import Call, Method, Serve
from services.chassis.logs import bind, get_logger
from services.chassis.telemetry import (
    RPC_HANDLED,
    RPC_IN_FLIGHT,
    RPC_SECONDS,
    continue_trace,
    random_hex,
)

log = get_logger()


class RequestContext:
    """Gives a call its request id and trace, counts and times it, and logs its end."""

    def around(self, method: Method, inner: Serve) -> Serve:
        label = method.label
        under_way = _UnderWay()
        RPC_IN_FLIGHT.labels(label).set_function(under_way)
        ended = _ending(label)

        async def serve(call: Call) -> bytes | None:
            started = perf_counter()
            call.request_id = _request_id(call)
            traceparent = continue_trace(call.text("traceparent"))
            bind(method=label, request_id=call.request_id, traceparent=traceparent)
            under_way.calls += 1
            code, reason = "OK", None
            try:
                return await inner(call)
            except BaseException as error:
                code, reason = _code_of(error, call)
                raise
            finally:
                under_way.calls -= 1
                ended(code, reason, perf_counter() - started)

        return serve


class _UnderWay:
    """Counts without the lock of a metric; read when the metrics are."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> float:
        return self.calls


def _ending(label: str) -> Callable[[str, str | None, float], None]:
    """Counts and logs the end of a call of this method."""
    seconds = RPC_SECONDS.labels(label)
    handled = {"OK": RPC_HANDLED.labels(label, "OK")}

    def ended(code: str, reason: str | None, elapsed: float) -> None:
        seconds.observe(elapsed)
        if code not in handled:
            handled[code] = RPC_HANDLED.labels(label, code)
        handled[code].inc()
        level = log.error if code == "INTERNAL" else log.info
        milliseconds = round(elapsed * 1000, 2)
        if reason is None:
            level("rpc", code=code, duration_ms=milliseconds)
        else:
            level("rpc", code=code, reason=reason, duration_ms=milliseconds)

    return ended


def _request_id(call: Call) -> str:
    """The caller's own, where it is a UUID: anything else could carry a text into the logs."""
    given = call.text("x-request-id")
    try:
        if given:
            return UUID(given).hex
    except ValueError:
        pass
    return random_hex(128)


def _code_of(error: BaseException, call: Call) -> tuple[str, str | None]:
    match error:
        case DomainError():
            return error.code, error.reason
        case asyncio.CancelledError():
            return "CANCELLED", None
        case grpc.aio.AbortError():
            code = call.context.code()
            return (code.name if code is not None else "UNKNOWN"), None
    return "INTERNAL", "INTERNAL"
