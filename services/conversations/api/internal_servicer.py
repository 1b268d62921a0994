"""What the other services and ops call."""

from collections.abc import Awaitable, Callable, Sequence

import grpc
from google.protobuf.message import Message

from clinic.conversations.v1 import conversations_internal_service_pb2 as pb
from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    ConversationsInternalServiceServicer,
)
from clinic.directory.v1.directory_events_pb2 import State

Context = grpc.aio.ServicerContext[Message, Message]
Apply = Callable[[Sequence[State]], Awaitable[None]]


class ConversationsInternalServicer(ConversationsInternalServiceServicer):
    """`clinic.conversations.v1.ConversationsInternalService`."""

    def __init__(self, apply: Apply) -> None:
        self._apply = apply

    async def ApplyStates(
        self, request: pb.ApplyStatesRequest, context: Context
    ) -> pb.ApplyStatesResponse:
        await self._apply(request.states)
        return pb.ApplyStatesResponse(applied=True)
