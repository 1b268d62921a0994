"""Making the people of a clinic, as the platform and its staff do."""

from clinic.directory.v1 import clinic_pb2, profile_pb2, staff_member_pb2
from clinic.directory.v1 import directory_internal_service_pb2 as internal_pb
from clinic.directory.v1 import directory_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.suite import Caller, Suite

PORTAL = "https://portal.example.test"


async def create_clinic(
    suite: Suite,
    platform: Caller,
    *,
    name: str,
    owner: str,
    owner_email: str,
    request_id: str = "",
) -> internal_pb.CreateClinicResponse:
    """A clinic with messaging off, and its Account Owner."""
    request = internal_pb.CreateClinicRequest(
        clinic_name=name,
        owner_display_name=owner,
        owner_email=owner_email,
        request_id=request_id or str(uuid7()),
    )
    return await platform.call(suite.directory_internal.CreateClinic, request)


async def create_staff(
    suite: Suite,
    platform: Caller,
    *,
    name: str,
    email: str = "",
    access: staff_member_pb2.AccessLevel = staff_member_pb2.ACCESS_LEVEL_STANDARD,
    kind: staff_member_pb2.StaffKind = staff_member_pb2.STAFF_KIND_PRACTITIONER,
    request_id: str = "",
) -> staff_member_pb2.StaffMember:
    member = staff_member_pb2.StaffMember(
        kind=kind, access_level=access, display_name=name, email=email
    )
    request = internal_pb.CreateStaffMemberRequest(
        staff_member=member, request_id=request_id or str(uuid7())
    )
    answer = await platform.call(suite.directory_internal.CreateStaffMember, request)
    return answer.staff_member


async def create_profile(
    suite: Suite,
    creator: Caller,
    *,
    name: str,
    email: str,
    kind: profile_pb2.ProfileKind = profile_pb2.PROFILE_KIND_PATIENT,
    request_id: str = "",
) -> profile_pb2.Profile:
    profile = profile_pb2.Profile(kind=kind, display_name=name, email=email)
    request = pb.CreateProfileRequest(profile=profile, request_id=request_id or str(uuid7()))
    return (await creator.call(suite.directory.CreateProfile, request)).profile


def allow_messaging(*, hold_seconds: int | None = None) -> pb.UpdateMessagingSettingsRequest:
    """Switch messaging on, with links to a portal; mails wait as long as they do unless said."""
    settings = clinic_pb2.MessagingSettings(
        messaging_policy=clinic_pb2.MESSAGING_POLICY_ALLOWED, portal_link_base=PORTAL
    )
    request = pb.UpdateMessagingSettingsRequest(
        messaging_settings=settings, request_id=str(uuid7())
    )
    request.update_mask.paths.extend(["messaging_policy", "portal_link_base"])
    if hold_seconds is not None:
        request.messaging_settings.mail_hold.seconds = hold_seconds
        request.update_mask.paths.append("mail_hold")
    return request
