"""The outermost step: bytes in, bytes out, and no exception leaves but as a status of ours.

gRPC's own answers to a malformed request or an exception are UNKNOWN with the library's or the
exception's text, which may quote what a person wrote.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Never, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import Message

from services.chassis.errors import Code, DomainError, Unimplemented
from services.chassis.identity import Caller
from services.chassis.interceptors.call import Call, Context, Method, Serve, Step
from services.chassis.interceptors.serving import ClientGone, serving
from services.chassis.interceptors.status import (
    code_of,
    internal_status,
    status_of,
    trailer_of,
)
from services.chassis.logs import get_logger
from services.chassis.telemetry import random_hex

Request = TypeVar("Request")
Response = TypeVar("Response")
Handler: TypeAlias = "grpc.RpcMethodHandler[Message, Message]"
OnDenied = Callable[[Caller, str, str], Awaitable[None]]

_ON_DENIED_SECONDS = 1.0
_UNKNOWN = Method("unknown", "unknown", request_streaming=True, response_streaming=True)

log = get_logger()


class Guard(grpc.aio.ServerInterceptor):
    """Serves the given handlers inside the steps, and nothing else.

    `on_denied(caller, method, reason)` is told of every PERMISSION_DENIED, so that a service can
    keep an audit record of it; what goes wrong there does not change the answer.
    """

    def __init__(
        self,
        service: str,
        *,
        handlers: Mapping[Method, Handler],
        steps: Callable[[Method], Sequence[Step]],
        on_denied: OnDenied | None = None,
    ) -> None:
        self._service = service
        self._on_denied = on_denied
        self._routes = {
            f"/{method.service}/{method.name}": self._route(method, serving(handler), steps(method))
            for method, handler in handlers.items()
        }
        self._unknown = self._route(_UNKNOWN, _refuse_unknown, steps(_UNKNOWN))

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Request, Response] | None"]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Request, Response]":
        route = self._routes.get(handler_call_details.method, self._unknown)
        return cast("grpc.RpcMethodHandler[Request, Response]", route)

    def _route(
        self, method: Method, serve: Serve, steps: Sequence[Step]
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        for step in reversed(steps):
            serve = step.around(method, serve)

        async def handle(request: bytes | AsyncIterator[bytes], context: Context) -> bytes | None:
            call = Call(method, context, dict(context.invocation_metadata() or ()), request)
            try:
                return await serve(call)
            except (Exception, asyncio.CancelledError) as error:
                await self._fail(call, error)

        return _KINDS[method.request_streaming, method.response_streaming](handle)

    async def _fail(self, call: Call, error: BaseException) -> Never:
        """Answer with the status of this error; a cancelled call is never answered."""
        match error:
            case DomainError():
                await self._refuse(call, error)
            case ClientGone():
                raise asyncio.CancelledError
            case asyncio.CancelledError() if _is_cancelled():
                raise error
            case grpc.aio.AbortError():
                raise error
        # Also a CancelledError that nobody aimed at this call: unanswered, its client would wait.
        correlation_id = call.request_id or random_hex(128)
        log.error(
            "rpc_failed",
            method=call.method.label,
            correlation_id=correlation_id,
            exc_info=error,
        )
        status = internal_status(self._service, correlation_id)
        await _abort(call.context, code_of(status), status.message, trailer_of(status))

    async def _refuse(self, call: Call, refusal: DomainError) -> Never:
        if refusal.code is Code.PERMISSION_DENIED:
            await self._report(call, refusal.reason)
        status = status_of(refusal, self._service)
        await _abort(call.context, code_of(status), status.message, trailer_of(status))

    async def _report(self, call: Call, reason: str) -> None:
        if self._on_denied is None or call.caller is None:
            return
        try:
            async with asyncio.timeout(_ON_DENIED_SECONDS):
                await self._on_denied(call.caller, call.method.full_name, reason)
        except Exception as error:
            log.error("denial_not_recorded", method=call.method.label, exc_info=error)


async def _refuse_unknown(call: Call) -> Never:
    raise Unimplemented("no such method")


async def _abort(
    context: Context, code: grpc.StatusCode, message: str, trailer: tuple[str, bytes]
) -> Never:
    before = tuple(context.trailing_metadata() or ())
    await context.abort(code, message, (*before, trailer))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


_KINDS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
