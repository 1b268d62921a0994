"""The innermost step: bytes become a request, the servicer answers, its answer becomes bytes."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Never, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError, Message

from services.chassis.errors import Unimplemented
from services.chassis.interceptors.call import Call, Context, Serve
from services.chassis.interceptors.fields import check_required
from services.chassis.interceptors.status import RequestMalformed
from services.chassis.settings import RefusedToStart

Handler: TypeAlias = "grpc.RpcMethodHandler[Message, Message]"
Parse = Callable[[bytes], Message]
Serialize = Callable[[Message], bytes]

UnaryUnary = Callable[[Message, Context], Awaitable[Message]]
StreamUnary = Callable[[AsyncIterator[Message], Context], Awaitable[Message]]
UnaryStream = Callable[[Message, Context], AsyncGenerator[Message, None]]
StreamStream = Callable[[AsyncIterator[Message], Context], AsyncGenerator[Message, None]]
Written = Callable[[object, Context], Awaitable[None]]


class ClientGone(Exception):
    """The client went away while it was written to."""


def serving(handler: Handler) -> Serve:
    """Call one method of a servicer. Raises RefusedToStart for one that is not async."""
    behaviour = _behaviour_of(handler)
    if is_unimplemented(behaviour):
        return _unimplemented
    if not _is_async(behaviour, handler):
        raise RefusedToStart(f"{_name_of(behaviour)} must be async: a thread would hang the stop")
    if handler.request_deserializer is None or handler.response_serializer is None:
        raise RefusedToStart(f"{_name_of(behaviour)} has no serialisers")
    parse, serialize = _parsing(handler.request_deserializer), handler.response_serializer
    if not handler.response_streaming:
        if handler.request_streaming:
            return _stream_unary(cast(StreamUnary, behaviour), parse, serialize)
        return _unary_unary(cast(UnaryUnary, behaviour), parse, serialize)
    if inspect.iscoroutinefunction(behaviour):
        return _written(cast(Written, behaviour), parse, serialize)
    if handler.request_streaming:
        return _stream_stream(cast(StreamStream, behaviour), parse, serialize)
    return _unary_stream(cast(UnaryStream, behaviour), parse, serialize)


def is_unimplemented(behaviour: object) -> bool:
    """Whether this is the method of a generated base servicer, which nobody has overridden."""
    function = getattr(behaviour, "__func__", behaviour)
    return getattr(function, "__module__", "").endswith("_pb2_grpc")


def _behaviour_of(handler: Handler) -> object:
    return (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )


def _name_of(behaviour: object) -> str:
    return str(getattr(behaviour, "__qualname__", behaviour))


def _is_async(behaviour: object, handler: Handler) -> bool:
    if inspect.isasyncgenfunction(behaviour):
        return handler.response_streaming
    return inspect.iscoroutinefunction(behaviour)


def _parsing(deserialize: Parse) -> Parse:
    def parse(data: bytes) -> Message:
        try:
            request = deserialize(data)
        except DecodeError:
            raise RequestMalformed("the request is not a message of this method") from None
        check_required(request)
        return request

    return parse


async def _unimplemented(call: Call) -> Never:
    raise Unimplemented("this build does not serve the method")


def _unary_unary(behaviour: UnaryUnary, parse: Parse, serialize: Serialize) -> Serve:
    async def serve(call: Call) -> bytes:
        return serialize(await behaviour(parse(_bytes(call)), call.context))

    return serve


def _stream_unary(behaviour: StreamUnary, parse: Parse, serialize: Serialize) -> Serve:
    async def serve(call: Call) -> bytes:
        async with aclosing(_requests(call, parse)) as requests:
            return serialize(await behaviour(requests, call.context))

    return serve


def _unary_stream(behaviour: UnaryStream, parse: Parse, serialize: Serialize) -> Serve:
    async def serve(call: Call) -> None:
        await _write_all(call, behaviour(parse(_bytes(call)), call.context), serialize)

    return serve


def _stream_stream(behaviour: StreamStream, parse: Parse, serialize: Serialize) -> Serve:
    async def serve(call: Call) -> None:
        async with aclosing(_requests(call, parse)) as requests:
            await _write_all(call, behaviour(requests, call.context), serialize)

    return serve


def _written(behaviour: Written, parse: Parse, serialize: Serialize) -> Serve:
    """A servicer that writes to its context, as grpc's own health service does."""

    async def serve(call: Call) -> None:
        request = parse(call.request) if isinstance(call.request, bytes) else _requests(call, parse)
        context = cast(Context, _WritingContext(call.context, serialize))
        await behaviour(request, context)

    return serve


async def _requests(call: Call, parse: Parse) -> AsyncGenerator[Message, None]:
    assert not isinstance(call.request, bytes)
    async for data in call.request:
        yield parse(data)


async def _write_all(
    call: Call, responses: AsyncGenerator[Message, None], serialize: Serialize
) -> None:
    async with aclosing(responses):
        async for response in responses:
            await _write(call.context, serialize(response))


async def _write(context: Context, data: bytes) -> None:
    try:
        await context.write(cast(Message, data))  # the serialiser of the guard passes bytes on
    except grpc.aio.InternalError:
        raise ClientGone from None


def _bytes(call: Call) -> bytes:
    assert isinstance(call.request, bytes)
    return call.request


class _WritingContext:
    """The context of a servicer that writes messages itself."""

    def __init__(self, context: Context, serialize: Serialize) -> None:
        self._context = context
        self._serialize = serialize

    async def write(self, message: Message) -> None:
        await _write(self._context, self._serialize(message))

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)
