"""Conversations, as far as the directory tells it what now holds (I38)."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import grpc

from clinic.conversations.v1 import conversations_internal_service_pb2 as pb
from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    ConversationsInternalServiceStub,
)
from clinic.directory.v1.directory_events_pb2 import State as Message
from services.chassis.client import Peer
from services.chassis.errors import DomainError
from services.chassis.logs import get_logger
from services.directory.domain.events import State

_WITHIN = timedelta(seconds=2)
_MOST = 200

log = get_logger()


class ConversationsClient:
    def __init__(
        self, channel: grpc.aio.Channel, peer: Peer, *, encode: Callable[[State], Message]
    ) -> None:
        self._stub = ConversationsInternalServiceStub(channel)
        self._peer = peer
        self._encode = encode

    async def apply(self, states: Sequence[State]) -> bool:
        """Whether conversations confirmed within 2 s that it holds these states of one clinic.

        More than one call takes are left to the events.
        """
        request = pb.ApplyStatesRequest(states=map(self._encode, states[:_MOST]))
        clinic_id = states[0].subject.clinic_id
        try:
            answer = await self._peer.call(
                self._stub.ApplyStates, request, clinic_id=clinic_id, within=_WITHIN
            )
        except DomainError as refusal:
            log.info("states_not_confirmed", peer="conversations", reason=refusal.reason)
            return False
        return answer.applied and len(states) <= _MOST
