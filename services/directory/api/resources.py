"""Results to protobuf."""

from collections.abc import Sequence

from clinic.directory.v1 import clinic_pb2, merge_pb2, profile_pb2, session_pb2, staff_member_pb2
from clinic.directory.v1 import directory_internal_service_pb2 as internal
from clinic.directory.v1 import directory_service_pb2 as pb
from services.directory.domain.clinic import Clinic
from services.directory.domain.duplicates import LikelyDuplicate, Signal
from services.directory.domain.etag import etag_of
from services.directory.domain.merge import Merge
from services.directory.domain.profile import Profile
from services.directory.domain.session import Session
from services.directory.domain.staff_member import StaffMember
from services.directory.storage.events import (
    ACCESS_LEVELS,
    END_CAUSES,
    OVERRIDES,
    POLICIES,
    PROFILE_KINDS,
    STAFF_KINDS,
)
from services.directory.storage.staff_members import OwnerAddress
from services.directory.usecases.batch_get_details import Details
from services.directory.usecases.search_profiles import Hit
from services.messaging_rule import Side, WhyNot

_CANNOT_MESSAGE = {
    None: profile_pb2.CANNOT_MESSAGE_REASON_UNSPECIFIED,
    WhyNot.PROFILE_MERGED: profile_pb2.CANNOT_MESSAGE_REASON_PROFILE_MERGED,
    WhyNot.STAFF_INACTIVE: profile_pb2.CANNOT_MESSAGE_REASON_STAFF_INACTIVE,
    WhyNot.MESSAGING_DISABLED: profile_pb2.CANNOT_MESSAGE_REASON_MESSAGING_DISABLED,
    WhyNot.MESSAGING_BLOCKED: profile_pb2.CANNOT_MESSAGE_REASON_MESSAGING_BLOCKED,
    WhyNot.RECIPIENT_DO_NOT_EMAIL: profile_pb2.CANNOT_MESSAGE_REASON_RECIPIENT_DO_NOT_EMAIL,
}
_SIGNALS = {
    Signal.SAME_NAME: profile_pb2.DUPLICATE_SIGNAL_SAME_NAME,
    Signal.SAME_EMAIL: profile_pb2.DUPLICATE_SIGNAL_SAME_EMAIL,
    Signal.SAME_PHONE: profile_pb2.DUPLICATE_SIGNAL_SAME_PHONE,
    Signal.SAME_BIRTH_DATE: profile_pb2.DUPLICATE_SIGNAL_SAME_BIRTH_DATE,
}


def from_clinic(clinic: Clinic) -> clinic_pb2.Clinic:
    return clinic_pb2.Clinic(
        clinic_id=str(clinic.clinic_id),
        name=clinic.name,
        create_time=clinic.created_at,
        etag=etag_of(clinic.version),
    )


def from_settings(clinic: Clinic) -> clinic_pb2.MessagingSettings:
    settings = clinic.settings
    return clinic_pb2.MessagingSettings(
        messaging_policy=POLICIES[settings.messaging_policy],
        portal_link_base=settings.portal_link_base,
        mail_hold=settings.mail_hold,
        sender_name=settings.sender_name,
        away_after=settings.away_after,
        etag=etag_of(clinic.settings_version),
    )


def from_staff_member(member: StaffMember) -> staff_member_pb2.StaffMember:
    return staff_member_pb2.StaffMember(
        staff_id=str(member.id),
        kind=STAFF_KINDS[member.kind],
        access_level=ACCESS_LEVELS[member.access_level],
        account_owner=member.account_owner,
        display_name=member.display_name,
        email=member.email,
        active=member.active,
        deactivation_id=str(member.deactivation_id or ""),
        deactivate_time=member.deactivated_at,
        mail_opted_in=member.mail_opted_in_at is not None,
        mail_opt_in_time=member.mail_opted_in_at,
        create_time=member.created_at,
        etag=etag_of(member.version),
    )


def from_profile(profile: Profile) -> profile_pb2.Profile:
    return profile_pb2.Profile(
        profile_id=str(profile.id),
        kind=PROFILE_KINDS[profile.kind],
        display_name=profile.display_name,
        preferred_name=profile.preferred_name,
        email=profile.email,
        phone=profile.phone,
        birth_date="" if profile.birth_date is None else profile.birth_date.isoformat(),
        do_not_email=profile.do_not_email,
        messaging_override=OVERRIDES[profile.override],
        merged_into_profile_id=str(profile.merged_into or ""),
        merge_id=str(profile.merge_id or ""),
        create_time=profile.created_at,
        etag=etag_of(profile.version),
    )


def from_hit(hit: Hit) -> pb.SearchProfilesResponse.Result:
    return pb.SearchProfilesResponse.Result(
        profile=from_profile(hit.profile),
        can_message=hit.why_not is None,
        cannot_message_reason=_CANNOT_MESSAGE[hit.why_not],
    )


def from_duplicate(
    likely: LikelyDuplicate,
) -> pb.ListLikelyDuplicatesResponse.LikelyDuplicate:
    return pb.ListLikelyDuplicatesResponse.LikelyDuplicate(
        profile=from_profile(likely.profile),
        signals=[_SIGNALS[signal] for signal in likely.signals],
    )


def from_duplicate_id(
    likely: LikelyDuplicate,
) -> internal.DirectoryInternalServiceListLikelyDuplicatesResponse.LikelyDuplicate:
    response = internal.DirectoryInternalServiceListLikelyDuplicatesResponse
    return response.LikelyDuplicate(
        profile_id=str(likely.profile.id),
        signals=[_SIGNALS[signal] for signal in likely.signals],
    )


def from_merge(merge: Merge) -> merge_pb2.Merge:
    return merge_pb2.Merge(
        merge_id=str(merge.id),
        primary_profile_id=str(merge.primary_profile_id),
        secondary_profile_id=str(merge.secondary_profile_id),
        actor=merge.actor,
        merge_time=merge.merged_at,
        unmerge_actor=merge.unmerge_actor or "",
        unmerge_time=merge.unmerged_at,
    )


def from_session(session: Session) -> session_pb2.Session:
    person_id = str(session.person_id)
    return session_pb2.Session(
        session_id=str(session.id),
        staff_id=person_id if session.side is Side.STAFF else None,
        profile_id=person_id if session.side is Side.PROFILE else None,
        open_time=session.opened_at,
        last_activity_time=session.last_activity_at,
        end_time=session.ended_at,
        end_cause=END_CAUSES[session.end_cause],
    )


def from_owner_addresses(
    addresses: Sequence[OwnerAddress],
) -> internal.GetOwnerAddressHistoryResponse:
    response = internal.GetOwnerAddressHistoryResponse
    return response(
        owner_addresses=[
            response.OwnerAddress(
                staff_id=str(address.staff_id), email=address.email, since_time=address.since
            )
            for address in addresses
        ]
    )


def from_details(details: Details) -> internal.BatchGetDetailsResponse:
    clinic, response = details.clinic, internal.BatchGetDetailsResponse
    return response(
        clinic_details=response.ClinicDetails(
            name=clinic.name,
            sender_name=clinic.sender_name,
            portal_link_base=clinic.settings.portal_link_base,
            details_version=clinic.details_version,
        ),
        staff_details=[
            response.StaffDetails(
                staff_id=str(member.id),
                display_name=member.display_name,
                email=member.email,
                details_version=member.details_version,
            )
            for member in details.staff_members
        ],
        profile_details=[
            response.ProfileDetails(
                profile_id=str(profile.id),
                display_name=profile.display_name,
                email=profile.email,
                details_version=profile.details_version,
            )
            for profile in details.profiles
        ],
    )
