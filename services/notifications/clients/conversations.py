"""Conversations: how much a profile has not read, which is the number on its devices (R11)."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
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

MOST_ASKED = 200


class Conversations:
    """Every call raises Unavailable where conversations is out of reach. Numbers that are asked
    for while a question is under way are asked for together in the next."""

    def __init__(self, channel: grpc.aio.Channel, peer: Peer) -> None:
        self._stub = ConversationsInternalServiceStub(channel)
        self._peer = peer
        self._badges = Batcher(self._ask_all, key=lambda place: place)

    async def get_badge(self, clinic_id: UUID, profile_id: UUID) -> int:
        """The unread messages of one profile."""
        return await self._badges.submit((clinic_id, profile_id))

    async def get_badges(self, clinic_id: UUID, profiles: Collection[UUID]) -> Mapping[UUID, int]:
        """The unread messages of each of these profiles of one clinic, at most MOST_ASKED."""
        request = pb.BatchGetUnreadRequest(
            people=[pb.Person(side=message_pb2.SIDE_PROFILE, person_id=str(id)) for id in profiles]
        )
        response = await self._peer.call(self._stub.BatchGetUnread, request, clinic_id=clinic_id)
        return {UUID(each.person.person_id): each.unread_messages for each in response.unread}

    async def _ask_all(
        self, places: Sequence[tuple[UUID, UUID]], _: bool
    ) -> Sequence[int | DomainError]:
        """One call a clinic: a batch is smaller than what a call may ask."""
        by_clinic: dict[UUID, set[UUID]] = {}
        for clinic_id, profile_id in places:
            by_clinic.setdefault(clinic_id, set()).add(profile_id)
        answers = await asyncio.gather(*(self._ask(*each) for each in by_clinic.items()))
        found = dict(zip(by_clinic, answers, strict=True))
        return [_number(found[clinic_id], profile_id) for clinic_id, profile_id in places]

    async def _ask(
        self, clinic_id: UUID, profiles: Collection[UUID]
    ) -> Mapping[UUID, int] | DomainError:
        try:
            return await self.get_badges(clinic_id, profiles)
        except DomainError as error:
            return error


def _number(answer: Mapping[UUID, int] | DomainError, profile_id: UUID) -> int | DomainError:
    return answer if isinstance(answer, DomainError) else answer.get(profile_id, 0)
