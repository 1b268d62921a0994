"""Conversations: how much a profile has not read, which is the number on its devices (R11)."""

from collections.abc import Collection, Mapping
from uuid import UUID

import grpc

from clinic.conversations.v1 import conversations_internal_service_pb2 as pb
from clinic.conversations.v1 import message_pb2
from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    ConversationsInternalServiceStub,
)
from services.chassis.client import Peer

MOST_ASKED = 200


class Conversations:
    """Every call raises Unavailable where conversations is out of reach."""

    def __init__(self, channel: grpc.aio.Channel, peer: Peer) -> None:
        self._stub = ConversationsInternalServiceStub(channel)
        self._peer = peer

    async def get_badges(self, clinic_id: UUID, profiles: Collection[UUID]) -> Mapping[UUID, int]:
        """The unread messages of each of these profiles of one clinic, at most MOST_ASKED."""
        request = pb.BatchGetUnreadRequest(
            people=[pb.Person(side=message_pb2.SIDE_PROFILE, person_id=str(id)) for id in profiles]
        )
        response = await self._peer.call(self._stub.BatchGetUnread, request, clinic_id=clinic_id)
        return {UUID(each.person.person_id): each.unread_messages for each in response.unread}
