"""What people call: convert, call, convert."""

from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.message import Message

from clinic.directory.v1 import directory_service_pb2 as pb
from clinic.directory.v1.directory_service_pb2_grpc import DirectoryServiceServicer
from services.chassis.identity import current_caller
from services.chassis.ids import parse_id
from services.chassis.paging import Cursor, PageTokens, page_size
from services.directory.api import convert, pages, resources
from services.directory.api.fields import request_id_of
from services.directory.storage.unit_of_work import Storage, Transaction
from services.directory.usecases.close_session import CloseSession, close_session
from services.directory.usecases.confirm import C, Confirmed, Peers, R, confirmed, told
from services.directory.usecases.create_profile import create_profile
from services.directory.usecases.deactivate_staff_member import (
    DeactivateStaffMember,
    deactivate_staff_member,
)
from services.directory.usecases.get_clinic import GetClinic, get_clinic
from services.directory.usecases.get_profile import GetProfile, get_profile
from services.directory.usecases.get_staff_member import GetStaffMember, get_staff_member
from services.directory.usecases.list_likely_duplicates import (
    ListLikelyDuplicates,
    list_likely_duplicates,
)
from services.directory.usecases.list_merges import ListMerges, list_merges
from services.directory.usecases.list_sessions import list_sessions
from services.directory.usecases.list_staff_members import ListStaffMembers, list_staff_members
from services.directory.usecases.merge_profiles import merge_profiles
from services.directory.usecases.reactivate_staff_member import (
    ReactivateStaffMember,
    reactivate_staff_member,
)
from services.directory.usecases.search_profiles import SearchProfiles, search_profiles
from services.directory.usecases.touch_session import TouchSession, touch_session
from services.directory.usecases.transfer_ownership import TransferOwnership, transfer_ownership
from services.directory.usecases.unmerge_profiles import UnmergeProfiles, unmerge_profiles
from services.directory.usecases.update_messaging_settings import update_messaging_settings
from services.directory.usecases.update_notification_preference import (
    UpdateNotificationPreference,
    update_notification_preference,
)
from services.directory.usecases.update_profile import update_profile
from services.directory.usecases.update_staff_member import update_staff_member

Context = grpc.aio.ServicerContext[Message, Message]


class DirectoryServicer(DirectoryServiceServicer):
    """`clinic.directory.v1.DirectoryService`."""

    def __init__(self, storage: Storage, peers: Peers, page_tokens: PageTokens) -> None:
        self._storage = storage
        self._peers = peers
        self._tokens = page_tokens

    async def GetClinic(
        self, request: pb.GetClinicRequest, context: Context
    ) -> pb.GetClinicResponse:
        clinic = await self._storage.run(get_clinic, GetClinic(caller=current_caller()))
        return pb.GetClinicResponse(clinic=resources.from_clinic(clinic))

    async def GetMessagingSettings(
        self, request: pb.GetMessagingSettingsRequest, context: Context
    ) -> pb.GetMessagingSettingsResponse:
        clinic = await self._storage.run(get_clinic, GetClinic(caller=current_caller()))
        return pb.GetMessagingSettingsResponse(messaging_settings=resources.from_settings(clinic))

    async def UpdateMessagingSettings(
        self, request: pb.UpdateMessagingSettingsRequest, context: Context
    ) -> pb.UpdateMessagingSettingsResponse:
        command = convert.to_update_messaging_settings(request, current_caller())
        done = await self._confirmed(update_messaging_settings, command)
        return pb.UpdateMessagingSettingsResponse(
            messaging_settings=resources.from_settings(done.result), applied=done.applied
        )

    async def ListStaffMembers(
        self, request: pb.ListStaffMembersRequest, context: Context
    ) -> pb.ListStaffMembersResponse:
        query = f"staff {request.include_inactive}"
        command = ListStaffMembers(
            caller=current_caller(),
            include_inactive=request.include_inactive,
            page_size=page_size(request.page_size),
            after=pages.to_name(self._tokens.open(request.page_token, query)),
        )
        page = await self._storage.run(list_staff_members, command)
        return pb.ListStaffMembersResponse(
            staff_members=map(resources.from_staff_member, page.staff_members),
            next_page_token=self._next(query, page.next and pages.from_name(page.next)),
        )

    async def GetStaffMember(
        self, request: pb.GetStaffMemberRequest, context: Context
    ) -> pb.GetStaffMemberResponse:
        command = GetStaffMember(
            caller=current_caller(), staff_id=parse_id(request.staff_id, field="staff_id")
        )
        member = await self._storage.run(get_staff_member, command)
        return pb.GetStaffMemberResponse(staff_member=resources.from_staff_member(member))

    async def UpdateStaffMember(
        self, request: pb.UpdateStaffMemberRequest, context: Context
    ) -> pb.UpdateStaffMemberResponse:
        command = convert.to_update_staff_member(request, current_caller())
        member = await self._storage.run(update_staff_member, command)
        return pb.UpdateStaffMemberResponse(staff_member=resources.from_staff_member(member))

    async def UpdateNotificationPreference(
        self, request: pb.UpdateNotificationPreferenceRequest, context: Context
    ) -> pb.UpdateNotificationPreferenceResponse:
        command = UpdateNotificationPreference(
            caller=current_caller(),
            staff_id=parse_id(request.staff_id, field="staff_id"),
            mail_opted_in=request.mail_opted_in,
            request_id=request_id_of(request.request_id),
        )
        done = await self._confirmed(update_notification_preference, command)
        return pb.UpdateNotificationPreferenceResponse(
            staff_member=resources.from_staff_member(done.result)
        )

    async def DeactivateStaffMember(
        self, request: pb.DeactivateStaffMemberRequest, context: Context
    ) -> pb.DeactivateStaffMemberResponse:
        command = DeactivateStaffMember(
            caller=current_caller(),
            staff_id=parse_id(request.staff_id, field="staff_id"),
            request_id=request_id_of(request.request_id),
        )
        done = await self._confirmed(deactivate_staff_member, command)
        return pb.DeactivateStaffMemberResponse(
            staff_member=resources.from_staff_member(done.result), applied=done.applied
        )

    async def ReactivateStaffMember(
        self, request: pb.ReactivateStaffMemberRequest, context: Context
    ) -> pb.ReactivateStaffMemberResponse:
        command = ReactivateStaffMember(
            caller=current_caller(),
            staff_id=parse_id(request.staff_id, field="staff_id"),
            request_id=request_id_of(request.request_id),
        )
        done = await self._confirmed(reactivate_staff_member, command)
        return pb.ReactivateStaffMemberResponse(
            staff_member=resources.from_staff_member(done.result), applied=done.applied
        )

    async def TransferOwnership(
        self, request: pb.TransferOwnershipRequest, context: Context
    ) -> pb.TransferOwnershipResponse:
        command = TransferOwnership(
            caller=current_caller(),
            staff_id=parse_id(request.staff_id, field="staff_id"),
            request_id=request_id_of(request.request_id),
        )
        owner = await self._storage.run(transfer_ownership, command)
        return pb.TransferOwnershipResponse(staff_member=resources.from_staff_member(owner))

    async def CreateProfile(
        self, request: pb.CreateProfileRequest, context: Context
    ) -> pb.CreateProfileResponse:
        command = convert.to_create_profile(request, current_caller())
        profile = await self._storage.run(create_profile, command)
        return pb.CreateProfileResponse(profile=resources.from_profile(profile))

    async def GetProfile(
        self, request: pb.GetProfileRequest, context: Context
    ) -> pb.GetProfileResponse:
        command = GetProfile(
            caller=current_caller(), profile_id=parse_id(request.profile_id, field="profile_id")
        )
        profile = await self._storage.run(get_profile, command)
        return pb.GetProfileResponse(profile=resources.from_profile(profile))

    async def UpdateProfile(
        self, request: pb.UpdateProfileRequest, context: Context
    ) -> pb.UpdateProfileResponse:
        command = convert.to_update_profile(request, current_caller())
        done = await self._confirmed(update_profile, command)
        return pb.UpdateProfileResponse(
            profile=resources.from_profile(done.result), applied=done.applied
        )

    async def SearchProfiles(
        self, request: pb.SearchProfilesRequest, context: Context
    ) -> pb.SearchProfilesResponse:
        query = f"profiles {request.query}"
        command = SearchProfiles(
            caller=current_caller(),
            query=request.query,
            page_size=page_size(request.page_size),
            after=pages.to_name(self._tokens.open(request.page_token, query)),
        )
        page = await self._storage.run(search_profiles, command)
        return pb.SearchProfilesResponse(
            results=map(resources.from_hit, page.hits),
            next_page_token=self._next(query, page.next and pages.from_name(page.next)),
        )

    async def ListLikelyDuplicates(
        self, request: pb.ListLikelyDuplicatesRequest, context: Context
    ) -> pb.ListLikelyDuplicatesResponse:
        query = f"duplicates {request.profile_id}"
        command = ListLikelyDuplicates(
            caller=current_caller(),
            profile_id=parse_id(request.profile_id, field="profile_id"),
            page_size=page_size(request.page_size),
            after=pages.to_score(self._tokens.open(request.page_token, query)),
        )
        page = await self._storage.run(list_likely_duplicates, command)
        return pb.ListLikelyDuplicatesResponse(
            likely_duplicates=map(resources.from_duplicate, page.likely_duplicates),
            next_page_token=self._next(query, page.next and pages.from_score(page.next)),
        )

    async def MergeProfiles(
        self, request: pb.MergeProfilesRequest, context: Context
    ) -> pb.MergeProfilesResponse:
        command = convert.to_merge_profiles(request, current_caller())
        done = await self._confirmed(merge_profiles, command)
        return pb.MergeProfilesResponse(
            merge=resources.from_merge(done.result), applied=done.applied
        )

    async def UnmergeProfiles(
        self, request: pb.UnmergeProfilesRequest, context: Context
    ) -> pb.UnmergeProfilesResponse:
        command = UnmergeProfiles(
            caller=current_caller(),
            merge_id=parse_id(request.merge_id, field="merge_id"),
            request_id=request_id_of(request.request_id),
        )
        done = await self._confirmed(unmerge_profiles, command)
        return pb.UnmergeProfilesResponse(
            merge=resources.from_merge(done.result), applied=done.applied
        )

    async def ListMerges(
        self, request: pb.ListMergesRequest, context: Context
    ) -> pb.ListMergesResponse:
        query = f"merges {request.profile_id} {request.include_undone}"
        command = ListMerges(
            caller=current_caller(),
            profile_id=convert.optional_id(request.profile_id, field="profile_id"),
            include_undone=request.include_undone,
            page_size=page_size(request.page_size),
            before=pages.to_id(self._tokens.open(request.page_token, query)),
        )
        page = await self._storage.run(list_merges, command)
        return pb.ListMergesResponse(
            merges=map(resources.from_merge, page.merges),
            next_page_token=self._next(query, (str(page.next),) if page.next else None),
        )

    async def TouchSession(
        self, request: pb.TouchSessionRequest, context: Context
    ) -> pb.TouchSessionResponse:
        session = await self._storage.run(touch_session, TouchSession(caller=current_caller()))
        return pb.TouchSessionResponse(session=resources.from_session(session))

    async def CloseSession(
        self, request: pb.CloseSessionRequest, context: Context
    ) -> pb.CloseSessionResponse:
        session_id = convert.optional_id(request.session_id, field="session_id")
        command = CloseSession(caller=current_caller(), session_id=session_id)
        outcome = await self._storage.run_unchecked(close_session, command)
        done = await told(outcome, peers=self._peers)
        return pb.CloseSessionResponse(session=resources.from_session(done.result))

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        caller, query = current_caller(), convert.sessions_query(request)
        cursor = self._tokens.open(request.page_token, query)
        command = convert.to_list_sessions(request, caller, cursor)
        page = await self._storage.run(list_sessions, command)
        return pb.ListSessionsResponse(
            sessions=map(resources.from_session, page.sessions),
            next_page_token=self._next(query, page.next and pages.from_moment(page.next)),
        )

    async def _confirmed(
        self, work: Callable[[Transaction, C], Awaitable[R]], command: C
    ) -> Confirmed[R]:
        return await confirmed(work, command, storage=self._storage, peers=self._peers)

    def _next(self, query: str, place: Cursor | None) -> str:
        """The token of the following page, if there is one."""
        return self._tokens.seal(query, place) if place else ""
