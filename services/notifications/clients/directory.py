"""The directory: who a mail is for, and whose preference an unsubscribe unticks."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import grpc

from clinic.directory.v1 import directory_internal_service_pb2 as pb
from clinic.directory.v1.directory_internal_service_pb2_grpc import DirectoryInternalServiceStub
from services.chassis.batching import Batcher
from services.chassis.client import Peer
from services.chassis.errors import DomainError
from services.directory_replica.directory import DetailsOfClinic, DirectoryClient
from services.messaging_rule import Side
from services.notifications.domain.delivery import Recipient, Whom
from services.notifications.domain.mail import Addressee


class Directory:
    """Every call raises Unavailable where the directory is out of reach. Addresses that are asked
    for while a question is under way are asked for together in the next."""

    def __init__(self, channel: grpc.aio.Channel, peer: Peer, details: DirectoryClient) -> None:
        self._stub = DirectoryInternalServiceStub(channel)
        self._peer = peer
        self._details = details
        self._addressees = Batcher(self._ask_all, key=lambda whom: whom)

    async def get_addressee(self, clinic_id: UUID, recipient: Recipient) -> Addressee:
        """The recipient's address as it is now; empty where there is none."""
        return await self._addressees.submit(Whom(clinic_id, recipient))

    async def _ask_all(self, people: Sequence[Whom], _: bool) -> Sequence[Addressee | DomainError]:
        """One call a clinic, for the wire's bounds are far above a batch's."""
        by_clinic: dict[UUID, list[Whom]] = {}
        for whom in people:
            by_clinic.setdefault(whom.clinic_id, []).append(whom)
        answers = await asyncio.gather(*(self._ask(*each) for each in by_clinic.items()))
        found = {whom: answer for each in answers for whom, answer in each.items()}
        return [found[whom] for whom in people]

    async def _ask(
        self, clinic_id: UUID, people: Sequence[Whom]
    ) -> Mapping[Whom, Addressee | DomainError]:
        staff, profiles = (
            {whom.recipient.id for whom in people if whom.recipient.side is side}
            for side in (Side.STAFF, Side.PROFILE)
        )
        try:
            found = await self._details.get_details(clinic_id, staff=staff, profiles=profiles)
        except DomainError as error:
            return dict.fromkeys(people, error)
        return {whom: _addressee(whom, found) for whom in people}

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


def _addressee(whom: Whom, found: DetailsOfClinic) -> Addressee:
    of_side = found.staff if whom.recipient.side is Side.STAFF else found.profiles
    details = of_side.get(whom.recipient.id)
    return Addressee(
        address="" if details is None else details.email,
        sender_name=found.clinic.sender_name,
        portal_base=found.clinic.portal_link_base,
    )
