"""The directory's internal service behind functions of ours."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

import grpc

from clinic.directory.v1 import directory_internal_service_pb2 as pb
from clinic.directory.v1.directory_internal_service_pb2_grpc import DirectoryInternalServiceStub
from services.chassis.client import Peer
from services.chassis.errors import NotFound
from services.directory_replica.convert import state_of_message
from services.directory_replica.states import (
    ClinicState,
    ProfileState,
    SessionState,
    StaffState,
    State,
)

MOST_DETAILS = 200


@dataclass(frozen=True, slots=True)
class Details:
    """A person's name and address, and the version of the person that they are of."""

    display_name: str
    email: str
    version: int


@dataclass(frozen=True, slots=True)
class ClinicDetails:
    name: str
    sender_name: str
    portal_link_base: str


@dataclass(frozen=True, slots=True)
class DetailsOfClinic:
    """What was asked of one clinic, by id; who is not there is absent."""

    clinic: ClinicDetails
    staff: Mapping[UUID, Details]
    profiles: Mapping[UUID, Details]


class DirectoryClient:
    """Every call raises Unavailable where the directory is out of reach."""

    def __init__(self, channel: grpc.aio.Channel, peer: Peer) -> None:
        self._stub = DirectoryInternalServiceStub(channel)
        self._peer = peer

    async def get_state(self, clinic_id: UUID, kind: type[State], id: UUID) -> State | None:
        """The current state of a clinic, person or session; None where there is none."""
        request = _state_request(kind, id)
        try:
            response = await self._peer.call(self._stub.GetState, request, clinic_id=clinic_id)
        except NotFound:
            return None
        return state_of_message(response.state)

    async def stream_states(self, after: tuple[UUID, UUID] | None = None) -> AsyncIterator[State]:
        """Every current state of every clinic, in the order of clinic and id."""
        request = pb.StreamStatesRequest()
        if after is not None:
            request = pb.StreamStatesRequest(after_clinic_id=str(after[0]), after_id=str(after[1]))
        async with self._peer.stream(self._stub.StreamStates, request) as responses:
            async for response in responses:
                if (state := state_of_message(response.state)) is not None:
                    yield state

    async def get_details(
        self, clinic_id: UUID, *, staff: Collection[UUID] = (), profiles: Collection[UUID] = ()
    ) -> DetailsOfClinic:
        """Names and addresses, of at most 200 people of each side; read, used and not kept
        longer than needed."""
        request = pb.BatchGetDetailsRequest(
            staff_ids=map(str, staff), profile_ids=map(str, profiles)
        )
        response = await self._peer.call(self._stub.BatchGetDetails, request, clinic_id=clinic_id)
        clinic = response.clinic_details
        return DetailsOfClinic(
            clinic=ClinicDetails(clinic.name, clinic.sender_name, clinic.portal_link_base),
            staff={UUID(found.staff_id): _details(found) for found in response.staff_details},
            profiles={
                UUID(found.profile_id): _details(found) for found in response.profile_details
            },
        )


def _details(
    found: pb.BatchGetDetailsResponse.StaffDetails | pb.BatchGetDetailsResponse.ProfileDetails,
) -> Details:
    return Details(found.display_name, found.email, found.details_version)


def _state_request(kind: type[State], id: UUID) -> pb.GetStateRequest:
    if kind is ClinicState:
        return pb.GetStateRequest(clinic=True)
    if kind is StaffState:
        return pb.GetStateRequest(staff_id=str(id))
    if kind is ProfileState:
        return pb.GetStateRequest(profile_id=str(id))
    assert kind is SessionState
    return pb.GetStateRequest(session_id=str(id))
