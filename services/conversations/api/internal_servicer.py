"""What the other services and ops call."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID

import grpc
from google.protobuf.message import Message

from clinic.conversations.v1 import conversations_internal_service_pb2 as pb
from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    ConversationsInternalServiceServicer,
)
from clinic.directory.v1.directory_events_pb2 import State
from services.chassis.identity import current_caller
from services.conversations.api import convert, convert_causes
from services.conversations.storage.unit_of_work import Storage
from services.conversations.usecases.batch_get_unread import batch_get_unread
from services.conversations.usecases.explain_delivery import Witnesses, explain_delivery
from services.conversations.usecases.stream_messages import stream_messages

Context = grpc.aio.ServicerContext[Message, Message]
Apply = Callable[[UUID, Sequence[State]], Awaitable[None]]


class ConversationsInternalServicer(ConversationsInternalServiceServicer):
    """`clinic.conversations.v1.ConversationsInternalService`."""

    def __init__(self, storage: Storage, witnesses: Witnesses, apply: Apply) -> None:
        self._storage = storage
        self._witnesses = witnesses
        self._apply = apply

    async def ApplyStates(
        self, request: pb.ApplyStatesRequest, context: Context
    ) -> pb.ApplyStatesResponse:
        await self._apply(current_caller().clinic, request.states)
        return pb.ApplyStatesResponse(applied=True)

    async def StreamMessages(
        self, request: pb.StreamMessagesRequest, context: Context
    ) -> AsyncIterator[pb.StreamMessagesResponse]:
        command = convert.to_stream_messages(request, current_caller())
        async for item in stream_messages(command, storage=self._storage):
            yield convert.from_exported(item)

    async def BatchGetUnread(
        self, request: pb.BatchGetUnreadRequest, context: Context
    ) -> pb.BatchGetUnreadResponse:
        command = convert.to_batch_get_unread(request, current_caller())
        numbers = await self._storage.run(batch_get_unread, command)
        return pb.BatchGetUnreadResponse(
            unread=[
                pb.PersonUnread(person=person, unread_messages=unread.messages)
                for person, unread in zip(request.people, numbers, strict=True)
            ]
        )

    async def InvestigateDelivery(
        self, request: pb.InvestigateDeliveryRequest, context: Context
    ) -> pb.InvestigateDeliveryResponse:
        command = convert_causes.to_explain_delivery(request, current_caller())
        causes = await explain_delivery(command, storage=self._storage, witnesses=self._witnesses)
        return pb.InvestigateDeliveryResponse(causes=map(convert_causes.from_cause, causes))
