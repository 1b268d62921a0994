"""Requests to commands."""

from uuid import UUID

from clinic.directory.v1 import clinic_pb2, profile_pb2, staff_member_pb2
from clinic.directory.v1 import directory_internal_service_pb2 as internal
from clinic.directory.v1 import directory_service_pb2 as pb
from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.chassis.ids import parse_id
from services.chassis.paging import Cursor, page_size
from services.chassis.wire import to_moment
from services.directory.api import pages
from services.directory.api.fields import (
    member_of,
    paths_of,
    request_id_of,
    to_timedelta,
)
from services.directory.domain.clinic import SettingsChanges
from services.directory.domain.profile import ProfileChanges
from services.directory.domain.staff_member import StaffChanges
from services.directory.storage.events import (
    ACCESS_LEVELS,
    OVERRIDES,
    POLICIES,
    PROFILE_KINDS,
    STAFF_KINDS,
)
from services.directory.usecases.clear_notification_preference import ClearNotificationPreference
from services.directory.usecases.create_clinic import CreateClinic, for_new_clinic
from services.directory.usecases.create_profile import CreateProfile
from services.directory.usecases.create_staff_member import CreateStaffMember
from services.directory.usecases.get_owner_address_history import GetOwnerAddressHistory
from services.directory.usecases.get_state import GetState, Kind
from services.directory.usecases.list_sessions import ListSessions
from services.directory.usecases.merge_profiles import MergeProfiles
from services.directory.usecases.open_session import OpenSession
from services.directory.usecases.update_clinic import UpdateClinic
from services.directory.usecases.update_messaging_settings import UpdateMessagingSettings
from services.directory.usecases.update_profile import UpdateProfile
from services.directory.usecases.update_staff_member import UpdateStaffMember
from services.messaging_rule import Side

_SETTINGS = ("messaging_policy", "portal_link_base", "mail_hold", "sender_name", "away_after")
_STAFF = ("kind", "access_level", "display_name", "email")
_PROFILE = (
    "kind",
    "display_name",
    "preferred_name",
    "email",
    "phone",
    "birth_date",
    "do_not_email",
    "messaging_override",
)


def to_create_clinic(request: internal.CreateClinicRequest, caller: Caller) -> CreateClinic:
    request_id = request_id_of(request.request_id)
    return CreateClinic(
        caller=for_new_clinic(caller, request_id),
        clinic_name=request.clinic_name,
        owner_display_name=request.owner_display_name,
        owner_email=request.owner_email,
        request_id=request_id,
    )


def to_update_clinic(request: internal.UpdateClinicRequest, caller: Caller) -> UpdateClinic:
    paths_of(request.update_mask, allowed=("name",))
    return UpdateClinic(
        caller=caller,
        name=request.clinic.name,
        etag=request.etag,
        request_id=request_id_of(request.request_id),
    )


def to_update_messaging_settings(
    request: pb.UpdateMessagingSettingsRequest, caller: Caller
) -> UpdateMessagingSettings:
    paths = paths_of(request.update_mask, allowed=_SETTINGS)
    return UpdateMessagingSettings(
        caller=caller,
        changes=_settings_changes(request.messaging_settings, paths),
        etag=request.etag,
        request_id=request_id_of(request.request_id),
    )


def _settings_changes(
    settings: clinic_pb2.MessagingSettings, paths: frozenset[str]
) -> SettingsChanges:
    policy = hold = away = None
    if "messaging_policy" in paths:
        field = "messaging_settings.messaging_policy"
        policy = member_of(POLICIES, settings.messaging_policy, field=field)
    if "mail_hold" in paths:
        hold = to_timedelta(settings.mail_hold, field="messaging_settings.mail_hold")
    if "away_after" in paths and settings.HasField("away_after"):
        away = to_timedelta(settings.away_after, field="messaging_settings.away_after")
    return SettingsChanges(
        messaging_policy=policy,
        portal_link_base=settings.portal_link_base if "portal_link_base" in paths else None,
        mail_hold=hold,
        sender_name=settings.sender_name if "sender_name" in paths else None,
        away_after=away,
        no_away_after="away_after" in paths and away is None,
    )


def to_create_staff_member(
    request: internal.CreateStaffMemberRequest, caller: Caller
) -> CreateStaffMember:
    return CreateStaffMember(
        caller=caller,
        changes=_staff_changes(request.staff_member, frozenset(_STAFF)),
        request_id=request_id_of(request.request_id),
    )


def to_update_staff_member(
    request: pb.UpdateStaffMemberRequest, caller: Caller
) -> UpdateStaffMember:
    paths = paths_of(request.update_mask, allowed=_STAFF)
    return UpdateStaffMember(
        caller=caller,
        staff_id=parse_id(request.staff_id, field="staff_id"),
        changes=_staff_changes(request.staff_member, paths),
        etag=request.etag,
        request_id=request_id_of(request.request_id),
    )


def to_clear_notification_preference(
    request: internal.ClearNotificationPreferenceRequest, caller: Caller
) -> ClearNotificationPreference:
    mail_time = None
    if request.HasField("mail_time"):
        mail_time = to_moment(request.mail_time, field="mail_time")
    return ClearNotificationPreference(
        caller=caller,
        staff_id=parse_id(request.staff_id, field="staff_id"),
        mail_time=mail_time,
        request_id=request_id_of(request.request_id),
    )


def _staff_changes(member: staff_member_pb2.StaffMember, paths: frozenset[str]) -> StaffChanges:
    kind = level = None
    if "kind" in paths:
        kind = member_of(STAFF_KINDS, member.kind, field="staff_member.kind")
    if "access_level" in paths:
        field = "staff_member.access_level"
        level = member_of(ACCESS_LEVELS, member.access_level, field=field)
    return StaffChanges(
        kind=kind,
        access_level=level,
        display_name=member.display_name if "display_name" in paths else None,
        email=member.email if "email" in paths else None,
    )


def to_create_profile(request: pb.CreateProfileRequest, caller: Caller) -> CreateProfile:
    paths = frozenset(_PROFILE)
    if not request.profile.messaging_override:
        paths -= {"messaging_override"}
    return CreateProfile(
        caller=caller,
        changes=_profile_changes(request.profile, paths),
        request_id=request_id_of(request.request_id),
    )


def to_update_profile(request: pb.UpdateProfileRequest, caller: Caller) -> UpdateProfile:
    paths = paths_of(request.update_mask, allowed=_PROFILE)
    return UpdateProfile(
        caller=caller,
        profile_id=parse_id(request.profile_id, field="profile_id"),
        changes=_profile_changes(request.profile, paths),
        etag=request.etag,
        request_id=request_id_of(request.request_id),
    )


def _profile_changes(profile: profile_pb2.Profile, paths: frozenset[str]) -> ProfileChanges:
    kind = override = None
    if "kind" in paths:
        kind = member_of(PROFILE_KINDS, profile.kind, field="profile.kind")
    if "messaging_override" in paths:
        field = "profile.messaging_override"
        override = member_of(OVERRIDES, profile.messaging_override, field=field)
    return ProfileChanges(
        kind=kind,
        display_name=profile.display_name if "display_name" in paths else None,
        preferred_name=profile.preferred_name if "preferred_name" in paths else None,
        email=profile.email if "email" in paths else None,
        phone=profile.phone if "phone" in paths else None,
        birth_date=profile.birth_date if "birth_date" in paths else None,
        do_not_email=profile.do_not_email if "do_not_email" in paths else None,
        override=override,
    )


def to_merge_profiles(request: pb.MergeProfilesRequest, caller: Caller) -> MergeProfiles:
    secondary = parse_id(request.secondary_profile_id, field="secondary_profile_id")
    return MergeProfiles(
        caller=caller,
        primary_profile_id=parse_id(request.primary_profile_id, field="primary_profile_id"),
        secondary_profile_id=secondary,
        request_id=request_id_of(request.request_id),
    )


def to_open_session(request: internal.OpenSessionRequest, caller: Caller) -> OpenSession:
    person = _person(request)
    if person is None:
        raise InvalidArgument("Either staff_id or profile_id is needed", field="person")
    side, person_id = person
    return OpenSession(
        caller=caller,
        side=side,
        person_id=person_id,
        request_id=request_id_of(request.request_id),
    )


def to_list_sessions(
    request: pb.ListSessionsRequest, caller: Caller, cursor: Cursor | None
) -> ListSessions:
    return ListSessions(
        caller=caller,
        person=_person(request),
        include_ended=request.include_ended,
        page_size=page_size(request.page_size),
        before=None if cursor is None else pages.to_moment(cursor),
    )


def _person(
    request: pb.ListSessionsRequest | internal.OpenSessionRequest,
) -> tuple[Side, UUID] | None:
    match request.WhichOneof("person"):
        case "staff_id":
            return Side.STAFF, parse_id(request.staff_id, field="staff_id")
        case "profile_id":
            return Side.PROFILE, parse_id(request.profile_id, field="profile_id")
    return None


def to_get_state(request: internal.GetStateRequest, caller: Caller) -> GetState:
    match request.WhichOneof("subject"):
        case "staff_id":
            return GetState(
                caller=caller, kind=Kind.STAFF, id=parse_id(request.staff_id, field="staff_id")
            )
        case "profile_id":
            id = parse_id(request.profile_id, field="profile_id")
            return GetState(caller=caller, kind=Kind.PROFILE, id=id)
        case "session_id":
            id = parse_id(request.session_id, field="session_id")
            return GetState(caller=caller, kind=Kind.SESSION, id=id)
        case "clinic" if request.clinic:
            return GetState(caller=caller, kind=Kind.CLINIC, id=caller.clinic_id)
    raise InvalidArgument("subject is needed", field="subject")


def to_get_owner_address_history(
    request: internal.GetOwnerAddressHistoryRequest, caller: Caller
) -> GetOwnerAddressHistory:
    since = to_moment(request.since_time, field="since_time")
    return GetOwnerAddressHistory(caller=caller, since=since)


def to_place(request: internal.StreamStatesRequest) -> tuple[UUID, UUID] | None:
    """Where a stream is resumed, or None for the start."""
    if not request.after_clinic_id and not request.after_id:
        return None
    return (
        parse_id(request.after_clinic_id, field="after_clinic_id"),
        parse_id(request.after_id, field="after_id"),
    )


def sessions_query(request: pb.ListSessionsRequest) -> str:
    """What a page token of a list of sessions is tied to."""
    return f"sessions {request.staff_id} {request.profile_id} {request.include_ended}"


def optional_id(text: str, *, field: str) -> UUID | None:
    return parse_id(text, field=field) if text else None
