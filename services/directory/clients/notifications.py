"""Notifications, as far as the directory tells it who is signed in and who wants mail."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import grpc

from clinic.directory.v1.directory_events_pb2 import State as Message
from clinic.notifications.v1 import notifications_internal_service_pb2 as pb
from clinic.notifications.v1.notifications_internal_service_pb2_grpc import (
    NotificationsInternalServiceStub,
)
from services.chassis.client import Peer
from services.chassis.errors import DomainError
from services.chassis.logs import get_logger
from services.directory.domain.events import State
from services.directory.domain.session import Session
from services.directory.domain.staff_member import StaffMember

_WITHIN = timedelta(seconds=2)
_MOST = 200

log = get_logger()


class NotificationsClient:
    def __init__(
        self, channel: grpc.aio.Channel, peer: Peer, *, encode: Callable[[State], Message]
    ) -> None:
        self._stub = NotificationsInternalServiceStub(channel)
        self._peer = peer
        self._encode = encode

    async def apply(self, states: Sequence[State]) -> bool:
        """Whether notifications confirmed within 2 s that it holds the sessions and preferences
        among these states of one clinic; the rest reaches it by events alone."""
        awaited = [state for state in states if isinstance(state.subject, Session | StaffMember)][
            :_MOST
        ]
        if not awaited:
            return True
        request = pb.ApplyStatesRequest(states=map(self._encode, awaited))
        clinic_id = awaited[0].subject.clinic_id
        try:
            answer = await self._peer.call(
                self._stub.ApplyStates, request, clinic_id=clinic_id, within=_WITHIN
            )
        except DomainError as refusal:
            log.info("states_not_confirmed", peer="notifications", reason=refusal.reason)
            return False
        return answer.applied
