"""The directory: who a mail is for, and whose preference an unsubscribe unticks."""

from datetime import datetime
from uuid import UUID

import grpc

from clinic.directory.v1 import directory_internal_service_pb2 as pb
from clinic.directory.v1.directory_internal_service_pb2_grpc import DirectoryInternalServiceStub
from services.chassis.client import Peer
from services.directory_replica.directory import DirectoryClient
from services.messaging_rule import Side
from services.notifications.domain.delivery import Recipient
from services.notifications.domain.mail import Addressee


class Directory:
    """Every call raises Unavailable where the directory is out of reach."""

    def __init__(self, channel: grpc.aio.Channel, peer: Peer, details: DirectoryClient) -> None:
        self._stub = DirectoryInternalServiceStub(channel)
        self._peer = peer
        self._details = details

    async def get_addressee(self, clinic_id: UUID, recipient: Recipient) -> Addressee:
        """The recipient's address as it is now; empty where there is none."""
        if recipient.side is Side.STAFF:
            found = await self._details.get_details(clinic_id, staff=[recipient.id])
            details = found.staff.get(recipient.id)
        else:
            found = await self._details.get_details(clinic_id, profiles=[recipient.id])
            details = found.profiles.get(recipient.id)
        return Addressee(
            address="" if details is None else details.email,
            sender_name=found.clinic.sender_name,
            portal_base=found.clinic.portal_link_base,
        )

    async def clear_mail_preference(
        self, clinic_id: UUID, staff_id: UUID, *, ticked_until: datetime, request_id: UUID
    ) -> bool:
        """Untick a staff member's wish for mail, unless it is of later; never ticks it. Whether
        it is unticked now."""
        request = pb.ClearNotificationPreferenceRequest(
            staff_id=str(staff_id), mail_time=ticked_until, request_id=str(request_id)
        )
        response = await self._peer.call(
            self._stub.ClearNotificationPreference, request, clinic_id=clinic_id
        )
        return not response.staff_member.mail_opted_in
