"""Conversations: how much a profile has not read, which is the number on its devices (R11)."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from uuid import UUID

import grpc

from clinic.conversations.v1 import conversations_internal_service_pb2 as pb
from clinic.conversations.v1 import message_pb2
from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    ConversationsInternalServiceStub,
)
from services.chassis.batching import Batcher
from services.chassis.client import Peer
from services.chassis.errors import DomainError

Asked = tuple[UUID, UUID]


class Conversations:
    """Questions that come while others are under way are asked together, a clinic a call."""

    def __init__(self, channel: grpc.aio.Channel, peer: Peer) -> None:
        self._stub = ConversationsInternalServiceStub(channel)
        self._peer = peer
        self._batcher: Batcher[Asked, int] = Batcher(self._ask, key=itemgetter(0))

    async def get_badge(self, clinic_id: UUID, profile_id: UUID) -> int:
        """The unread messages of a profile. Raises Unavailable where conversations is out of
        reach."""
        return await self._batcher.submit((clinic_id, profile_id))

    async def _ask(self, asked: Sequence[Asked], wait: bool) -> Sequence[int | DomainError]:
        of_clinics = groupby(sorted(set(asked)), key=itemgetter(0))
        calls = [self._of_clinic(clinic_id, [id for _, id in of]) for clinic_id, of in of_clinics]
        told: dict[Asked, int | DomainError] = {}
        for badges in await asyncio.gather(*calls):
            told |= badges
        return [told[each] for each in asked]

    async def _of_clinic(
        self, clinic_id: UUID, profiles: Sequence[UUID]
    ) -> Mapping[Asked, int | DomainError]:
        """What is wrong with one clinic's question concerns no other's."""
        people = [pb.Person(side=message_pb2.SIDE_PROFILE, person_id=str(id)) for id in profiles]
        request = pb.BatchGetUnreadRequest(people=people)
        try:
            response = await self._peer.call(
                self._stub.BatchGetUnread, request, clinic_id=clinic_id
            )
        except DomainError as refusal:
            return {(clinic_id, id): refusal for id in profiles}
        return {
            (clinic_id, id): each.unread_messages
            for id, each in zip(profiles, response.unread, strict=True)
        }
