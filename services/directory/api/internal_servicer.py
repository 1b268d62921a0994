"""What machines call: platform systems, the support team and the other services."""

from collections.abc import AsyncIterator

import grpc
from google.protobuf.message import Message

from clinic.directory.v1 import directory_internal_service_pb2 as pb
from clinic.directory.v1.directory_internal_service_pb2_grpc import (
    DirectoryInternalServiceServicer,
)
from services.chassis.identity import current_caller
from services.chassis.ids import parse_id
from services.chassis.paging import PageTokens, page_size
from services.directory.api import convert, import_parts, pages, resources
from services.directory.storage.events import to_message
from services.directory.storage.unit_of_work import Storage
from services.directory.usecases.batch_get_details import BatchGetDetails, batch_get_details
from services.directory.usecases.clear_notification_preference import (
    clear_notification_preference,
)
from services.directory.usecases.confirm import Peers, confirmed
from services.directory.usecases.create_clinic import create_clinic
from services.directory.usecases.create_staff_member import create_staff_member
from services.directory.usecases.get_owner_address_history import get_owner_address_history
from services.directory.usecases.get_state import get_state
from services.directory.usecases.import_profiles import import_profiles
from services.directory.usecases.list_likely_duplicates import (
    ListLikelyDuplicates,
    list_likely_duplicates,
)
from services.directory.usecases.open_session import open_session
from services.directory.usecases.stream_states import stream_states
from services.directory.usecases.update_clinic import update_clinic

Context = grpc.aio.ServicerContext[Message, Message]


class DirectoryInternalServicer(DirectoryInternalServiceServicer):
    """`clinic.directory.v1.DirectoryInternalService`."""

    def __init__(self, storage: Storage, peers: Peers, page_tokens: PageTokens) -> None:
        self._storage = storage
        self._peers = peers
        self._tokens = page_tokens

    async def CreateClinic(
        self, request: pb.CreateClinicRequest, context: Context
    ) -> pb.CreateClinicResponse:
        command = convert.to_create_clinic(request, current_caller())
        clinic, owner = await self._storage.run(create_clinic, command)
        return pb.CreateClinicResponse(
            clinic=resources.from_clinic(clinic), staff_member=resources.from_staff_member(owner)
        )

    async def UpdateClinic(
        self, request: pb.UpdateClinicRequest, context: Context
    ) -> pb.UpdateClinicResponse:
        command = convert.to_update_clinic(request, current_caller())
        clinic = await self._storage.run(update_clinic, command)
        return pb.UpdateClinicResponse(clinic=resources.from_clinic(clinic))

    async def CreateStaffMember(
        self, request: pb.CreateStaffMemberRequest, context: Context
    ) -> pb.CreateStaffMemberResponse:
        command = convert.to_create_staff_member(request, current_caller())
        member = await self._storage.run(create_staff_member, command)
        return pb.CreateStaffMemberResponse(staff_member=resources.from_staff_member(member))

    async def ImportProfiles(
        self, request_iterator: AsyncIterator[pb.ImportProfilesRequest], context: Context
    ) -> AsyncIterator[pb.ImportProfilesResponse]:
        parts = aiter(request_iterator)
        command = await import_parts.to_import_profiles(parts, current_caller())
        chunks = import_parts.chunks_of(parts)
        async for outcome in import_profiles(command, chunks, storage=self._storage):
            yield import_parts.from_outcome(outcome)

    async def OpenSession(
        self, request: pb.OpenSessionRequest, context: Context
    ) -> pb.OpenSessionResponse:
        command = convert.to_open_session(request, current_caller())
        done = await confirmed(open_session, command, storage=self._storage, peers=self._peers)
        return pb.OpenSessionResponse(session=resources.from_session(done.result))

    async def BatchGetDetails(
        self, request: pb.BatchGetDetailsRequest, context: Context
    ) -> pb.BatchGetDetailsResponse:
        command = BatchGetDetails(
            caller=current_caller(),
            staff_ids=[parse_id(id, field="staff_ids") for id in request.staff_ids],
            profile_ids=[parse_id(id, field="profile_ids") for id in request.profile_ids],
        )
        details = await self._storage.run(batch_get_details, command)
        return resources.from_details(details)

    async def StreamStates(
        self, request: pb.StreamStatesRequest, context: Context
    ) -> AsyncIterator[pb.StreamStatesResponse]:
        after = convert.to_place(request)
        async for state in stream_states(self._storage, after=after):
            yield pb.StreamStatesResponse(state=to_message(state))

    async def GetState(self, request: pb.GetStateRequest, context: Context) -> pb.GetStateResponse:
        command = convert.to_get_state(request, current_caller())
        state = await self._storage.run(get_state, command)
        return pb.GetStateResponse(state=to_message(state))

    async def ClearNotificationPreference(
        self, request: pb.ClearNotificationPreferenceRequest, context: Context
    ) -> pb.ClearNotificationPreferenceResponse:
        command = convert.to_clear_notification_preference(request, current_caller())
        done = await confirmed(
            clear_notification_preference, command, storage=self._storage, peers=self._peers
        )
        return pb.ClearNotificationPreferenceResponse(
            staff_member=resources.from_staff_member(done.result)
        )

    async def GetOwnerAddressHistory(
        self, request: pb.GetOwnerAddressHistoryRequest, context: Context
    ) -> pb.GetOwnerAddressHistoryResponse:
        command = convert.to_get_owner_address_history(request, current_caller())
        addresses = await self._storage.run(get_owner_address_history, command)
        return resources.from_owner_addresses(addresses)

    async def ListLikelyDuplicates(
        self, request: pb.DirectoryInternalServiceListLikelyDuplicatesRequest, context: Context
    ) -> pb.DirectoryInternalServiceListLikelyDuplicatesResponse:
        query = f"duplicates {request.profile_id}"
        command = ListLikelyDuplicates(
            caller=current_caller(),
            profile_id=parse_id(request.profile_id, field="profile_id"),
            page_size=page_size(request.page_size),
            after=pages.to_score(self._tokens.open(request.page_token, query)),
        )
        page = await self._storage.run(list_likely_duplicates, command)
        place = pages.from_score(page.next) if page.next else None
        return pb.DirectoryInternalServiceListLikelyDuplicatesResponse(
            likely_duplicates=map(resources.from_duplicate_id, page.likely_duplicates),
            next_page_token=self._tokens.seal(query, place) if place else "",
        )
