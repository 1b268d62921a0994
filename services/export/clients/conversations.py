"""Reading a staff member's conversations, as they were at a moment."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from uuid import UUID

import grpc

from clinic.conversations.v1 import conversation_pb2, message_pb2
from clinic.conversations.v1 import conversations_internal_service_pb2 as pb
from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    ConversationsInternalServiceStub,
)
from services.chassis.client import Peer
from services.chassis.errors import Unavailable
from services.chassis.wire import to_optional_time, to_time
from services.export.domain.stream import Archival, Conversation, Message, OutOfOrder, Place
from services.messaging_rule import Side

_SILENCE_SECONDS = 20.0

_SIDES = {message_pb2.SIDE_STAFF: Side.STAFF, message_pb2.SIDE_PROFILE: Side.PROFILE}
_CAUSES = {
    conversation_pb2.ARCHIVE_CAUSE_MERGED_AWAY: "MERGED_AWAY",
    conversation_pb2.ARCHIVE_CAUSE_STAFF_INACTIVE: "STAFF_INACTIVE",
}

Items = AsyncIterator[Conversation | Message]


class Conversations:
    def __init__(self, channel: grpc.aio.Channel, peer: Peer) -> None:
        self._stub = ConversationsInternalServiceStub(channel)
        self._peer = peer

    @asynccontextmanager
    async def stream(
        self, clinic_id: UUID, staff_id: UUID, *, cutoff_at: datetime, after: Place | None
    ) -> AsyncIterator[Items]:
        """Every conversation followed by its messages; from a place on, whose conversation is
        told again.

        Raises Unavailable where conversations is out of reach or silent for 20 s, OutOfOrder for
        what this release does not understand: an export has to be complete.
        """
        request = pb.StreamMessagesRequest(
            staff_id=str(staff_id),
            cutoff_time=cutoff_at,
            resume_conversation_id="" if after is None else str(after.conversation_id),
            resume_sequence=0 if after is None else after.sequence,
        )
        method = self._stub.StreamMessages
        async with (
            self._peer.stream(method, request, clinic_id=clinic_id) as responses,
            aclosing(_items(responses)) as items,
        ):
            yield items


async def _items(
    responses: AsyncIterator[pb.StreamMessagesResponse],
) -> AsyncGenerator[Conversation | Message, None]:
    while (response := await _next(responses)) is not None:
        match response.WhichOneof("item"):
            case "conversation":
                yield _to_conversation(response.conversation)
            case "message":
                yield _to_message(response.message)
            case _:
                raise OutOfOrder("the stream holds what this release does not know")


async def _next(
    responses: AsyncIterator[pb.StreamMessagesResponse],
) -> pb.StreamMessagesResponse | None:
    try:
        async with asyncio.timeout(_SILENCE_SECONDS):
            return await anext(responses, None)
    except TimeoutError:
        raise Unavailable("conversations went silent", peer="conversations") from None


def _to_conversation(header: pb.StreamMessagesResponse.Header) -> Conversation:
    return Conversation(
        id=UUID(header.conversation_id),
        profile_id=UUID(header.profile_id),
        created_at=to_time(header.create_time),
        archivals=[
            Archival(
                cause=_CAUSES.get(period.cause, "UNKNOWN"),
                cause_id=UUID(period.cause_id),
                started_at=to_time(period.start_time),
                ended_at=to_optional_time(period.end_time),
            )
            for period in header.archive_periods
        ],
    )


def _to_message(message: message_pb2.Message) -> Message:
    side = _SIDES.get(message.sender_side)
    if side is None:
        raise OutOfOrder("a message is of a side that this release does not know")
    deleted_at = to_optional_time(message.delete_time)
    return Message(
        id=UUID(message.message_id),
        conversation_id=UUID(message.conversation_id),
        sequence=message.sequence,
        sender_side=side,
        text=message.body if deleted_at is None else None,
        sent_at=to_time(message.send_time),
        deleted_at=deleted_at,
        read_at=to_optional_time(message.read_time),
    )
