"""The directory's states as protobuf: in events, in ApplyStates, in GetState, all alike.

Ids, versions, enums, flags and times only; names and addresses are fetched (design section 3).
"""

from clinic.directory.v1 import clinic_pb2, profile_pb2, session_pb2, staff_member_pb2
from clinic.directory.v1 import directory_events_pb2 as pb
from services.chassis.outbox import NewEvent
from services.directory.domain.clinic import Clinic, MessagingPolicy
from services.directory.domain.events import State
from services.directory.domain.profile import Profile, ProfileKind
from services.directory.domain.session import EndCause, Session
from services.directory.domain.staff_member import AccessLevel, StaffKind, StaffMember
from services.messaging_rule import Override, Side

POLICIES = {
    MessagingPolicy.OFF: clinic_pb2.MESSAGING_POLICY_OFF,
    MessagingPolicy.ALLOWED: clinic_pb2.MESSAGING_POLICY_ALLOWED,
}
STAFF_KINDS = {
    StaffKind.PRACTITIONER: staff_member_pb2.STAFF_KIND_PRACTITIONER,
    StaffKind.ADMINISTRATOR: staff_member_pb2.STAFF_KIND_ADMINISTRATOR,
}
ACCESS_LEVELS = {
    AccessLevel.LIMITED: staff_member_pb2.ACCESS_LEVEL_LIMITED,
    AccessLevel.STANDARD: staff_member_pb2.ACCESS_LEVEL_STANDARD,
    AccessLevel.FULL: staff_member_pb2.ACCESS_LEVEL_FULL,
}
PROFILE_KINDS = {
    ProfileKind.PATIENT: profile_pb2.PROFILE_KIND_PATIENT,
    ProfileKind.CONTACT: profile_pb2.PROFILE_KIND_CONTACT,
}
OVERRIDES = {
    Override.INHERIT: profile_pb2.MESSAGING_OVERRIDE_INHERIT,
    Override.ALLOW: profile_pb2.MESSAGING_OVERRIDE_ALLOW,
    Override.BLOCK: profile_pb2.MESSAGING_OVERRIDE_BLOCK,
}
END_CAUSES = {
    None: session_pb2.SESSION_END_CAUSE_UNSPECIFIED,
    EndCause.LOGOUT: session_pb2.SESSION_END_CAUSE_LOGOUT,
    EndCause.EXPIRED: session_pb2.SESSION_END_CAUSE_EXPIRED,
    EndCause.DEACTIVATED: session_pb2.SESSION_END_CAUSE_DEACTIVATED,
    EndCause.MERGED: session_pb2.SESSION_END_CAUSE_MERGED,
    EndCause.REVOKED: session_pb2.SESSION_END_CAUSE_REVOKED,
}


def to_message(state: State) -> pb.State:
    """The state as it travels with others."""
    incarnation = str(state.incarnation)
    match state.subject:
        case Clinic() as clinic:
            return pb.State(clinic=_of_clinic(clinic, incarnation))
        case StaffMember() as member:
            return pb.State(staff=_of_staff(member, incarnation))
        case Profile() as profile:
            return pb.State(profile=_of_profile(profile, incarnation))
        case Session() as session:
            return pb.State(session=_of_session(session, incarnation))


def to_event(state: State) -> NewEvent:
    """The state as an event of its own type."""
    message, subject = to_message(state), state.subject
    kind = str(message.WhichOneof("state"))
    return NewEvent(
        clinic_id=subject.clinic_id,
        kind="state",
        type=f"{kind}_state",
        aggregate_type=kind,
        aggregate_id=subject.id,
        aggregate_version=subject.version,
        staff_id=subject.id if isinstance(subject, StaffMember) else None,
        profile_id=subject.id if isinstance(subject, Profile) else None,
        payload=getattr(message, kind).SerializeToString(),
    )


def _of_clinic(clinic: Clinic, incarnation: str) -> pb.ClinicState:
    return pb.ClinicState(
        clinic_id=str(clinic.clinic_id),
        version=clinic.version,
        incarnation=incarnation,
        details_version=clinic.details_version,
        messaging_policy=POLICIES[clinic.settings.messaging_policy],
        mail_hold=clinic.settings.mail_hold,
        away_after=clinic.settings.away_after,
    )


def _of_staff(member: StaffMember, incarnation: str) -> pb.StaffState:
    return pb.StaffState(
        clinic_id=str(member.clinic_id),
        staff_id=str(member.id),
        version=member.version,
        incarnation=incarnation,
        details_version=member.details_version,
        kind=STAFF_KINDS[member.kind],
        access_level=ACCESS_LEVELS[member.access_level],
        account_owner=member.account_owner,
        active=member.active,
        deactivation_id=str(member.deactivation_id or ""),
        deactivate_time=member.deactivated_at,
        mail_opt_in_time=member.mail_opted_in_at,
    )


def _of_profile(profile: Profile, incarnation: str) -> pb.ProfileState:
    return pb.ProfileState(
        clinic_id=str(profile.clinic_id),
        profile_id=str(profile.id),
        version=profile.version,
        incarnation=incarnation,
        details_version=profile.details_version,
        kind=PROFILE_KINDS[profile.kind],
        messaging_override=OVERRIDES[profile.override],
        merged_into_profile_id=str(profile.merged_into or ""),
        merge_id=str(profile.merge_id or ""),
        do_not_email=profile.do_not_email,
        unmerge_time=profile.unmerged_at,
        mailable_time=profile.mailable_since,
    )


def _of_session(session: Session, incarnation: str) -> pb.SessionState:
    person_id = str(session.person_id)
    return pb.SessionState(
        clinic_id=str(session.clinic_id),
        session_id=str(session.id),
        version=session.version,
        incarnation=incarnation,
        staff_id=person_id if session.side is Side.STAFF else "",
        profile_id=person_id if session.side is Side.PROFILE else "",
        open_time=session.opened_at,
        last_activity_time=session.last_activity_at,
        end_time=session.ended_at,
        end_cause=END_CAUSES[session.end_cause],
    )
