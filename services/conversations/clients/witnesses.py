"""What notifications and the directory know of a delivery."""

from collections.abc import Sequence
from uuid import UUID

import grpc

from clinic.directory.v1.directory_internal_service_pb2 import (
    DirectoryInternalServiceListLikelyDuplicatesRequest,
)
from clinic.directory.v1.directory_internal_service_pb2_grpc import DirectoryInternalServiceStub
from clinic.notifications.v1 import delivery_pb2
from clinic.notifications.v1.notifications_internal_service_pb2 import ListDeliveriesRequest
from clinic.notifications.v1.notifications_internal_service_pb2_grpc import (
    NotificationsInternalServiceStub,
)
from services.chassis.client import Peer
from services.chassis.errors import NotFound
from services.conversations.domain.explaining import LedgerRow

_CAME_BACK = frozenset(
    {
        delivery_pb2.PROVIDER_STATE_BOUNCED,
        delivery_pb2.PROVIDER_STATE_BAD_RECIPIENT,
        delivery_pb2.PROVIDER_STATE_COMPLAINT,
    }
)


class WitnessClients:
    """Every call raises Unavailable where the other service is out of reach."""

    def __init__(
        self,
        *,
        notifications: tuple[grpc.aio.Channel, Peer],
        directory: tuple[grpc.aio.Channel, Peer],
    ) -> None:
        self._notifications = NotificationsInternalServiceStub(notifications[0])
        self._notifications_peer = notifications[1]
        self._directory = DirectoryInternalServiceStub(directory[0])
        self._directory_peer = directory[1]

    async def deliveries(
        self, clinic_id: UUID, conversation_id: UUID, sequence: int
    ) -> Sequence[LedgerRow]:
        """The ledger's rows of one message."""
        request = ListDeliveriesRequest(conversation_id=str(conversation_id), sequence=sequence)
        response = await self._notifications_peer.call(
            self._notifications.ListDeliveries, request, clinic_id=clinic_id
        )
        return [
            LedgerRow(delivery.SerializeToString(), not_arriving=_is_not_arriving(delivery))
            for delivery in response.deliveries
        ]

    async def likely_duplicates(self, clinic_id: UUID, profile_id: UUID) -> Sequence[UUID]:
        """Profiles that look like the same person."""
        request = DirectoryInternalServiceListLikelyDuplicatesRequest(profile_id=str(profile_id))
        try:
            response = await self._directory_peer.call(
                self._directory.ListLikelyDuplicates, request, clinic_id=clinic_id
            )
        except NotFound:
            return []
        return [UUID(found.profile_id) for found in response.likely_duplicates]


def _is_not_arriving(delivery: delivery_pb2.Delivery) -> bool:
    suppressed = delivery.state == delivery_pb2.DELIVERY_STATE_SUPPRESSED
    return suppressed or delivery.provider_state in _CAME_BACK
