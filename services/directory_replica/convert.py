"""States between protobuf and Python; every road of states into a replica passes here."""

from uuid import UUID

from clinic.directory.v1 import (
    clinic_pb2,
    directory_events_pb2,
    profile_pb2,
    session_pb2,
)
from services.chassis.inbox import Malformed
from services.chassis.outbox import Event
from services.chassis.wire import UNREADABLE, to_optional_id, to_optional_time, to_time
from services.directory_replica.states import (
    ClinicState,
    EndCause,
    ProfileState,
    SessionState,
    StaffState,
    State,
    Version,
)
from services.messaging_rule import Override, Side

Payload = (
    directory_events_pb2.ClinicState
    | directory_events_pb2.StaffState
    | directory_events_pb2.ProfileState
    | directory_events_pb2.SessionState
)

_TYPES: dict[str, type[Payload]] = {
    "clinic_state": directory_events_pb2.ClinicState,
    "staff_state": directory_events_pb2.StaffState,
    "profile_state": directory_events_pb2.ProfileState,
    "session_state": directory_events_pb2.SessionState,
}
# What this release does not know yet reads as what lets nobody do more than before.
_OVERRIDES = {
    profile_pb2.MESSAGING_OVERRIDE_ALLOW: Override.ALLOW,
    profile_pb2.MESSAGING_OVERRIDE_BLOCK: Override.BLOCK,
}
_END_CAUSES = {
    session_pb2.SESSION_END_CAUSE_LOGOUT: EndCause.LOGOUT,
    session_pb2.SESSION_END_CAUSE_EXPIRED: EndCause.EXPIRED,
    session_pb2.SESSION_END_CAUSE_DEACTIVATED: EndCause.DEACTIVATED,
    session_pb2.SESSION_END_CAUSE_MERGED: EndCause.MERGED,
    session_pb2.SESSION_END_CAUSE_REVOKED: EndCause.REVOKED,
}


def state_of_event(event: Event) -> State | None:
    """The state in an event; None for a type that this release does not know.

    Raises Malformed where the bytes are no such state.
    """
    kind = _TYPES.get(event.type)
    if kind is None:
        return None
    try:
        return _to_state(kind.FromString(event.payload))
    except UNREADABLE as error:
        raise Malformed(event.type) from error


def state_of_message(message: directory_events_pb2.State) -> State | None:
    """The state in the wrapper that RPCs use; None for a kind that this release does not know."""
    match message.WhichOneof("state"):
        case "clinic":
            return _to_state(message.clinic)
        case "staff":
            return _to_state(message.staff)
        case "profile":
            return _to_state(message.profile)
        case "session":
            return _to_state(message.session)
        case _:
            return None


def _to_state(payload: Payload) -> State:
    match payload:
        case directory_events_pb2.ClinicState():
            return _to_clinic(payload)
        case directory_events_pb2.StaffState():
            return _to_staff(payload)
        case directory_events_pb2.ProfileState():
            return _to_profile(payload)
        case directory_events_pb2.SessionState():
            return _to_session(payload)


def _stamp(payload: Payload) -> Version:
    if "\x00" in payload.incarnation:
        raise ValueError("no column holds NUL")
    return Version(incarnation=payload.incarnation, version=payload.version)


def _to_clinic(payload: directory_events_pb2.ClinicState) -> ClinicState:
    away_after = payload.away_after.ToTimedelta() if payload.HasField("away_after") else None
    return ClinicState(
        clinic_id=UUID(payload.clinic_id),
        stamp=_stamp(payload),
        details_version=payload.details_version,
        messaging_allowed=payload.messaging_policy == clinic_pb2.MESSAGING_POLICY_ALLOWED,
        mail_hold=payload.mail_hold.ToTimedelta(),
        away_after=away_after or None,
    )


def _to_staff(payload: directory_events_pb2.StaffState) -> StaffState:
    return StaffState(
        clinic_id=UUID(payload.clinic_id),
        staff_id=UUID(payload.staff_id),
        stamp=_stamp(payload),
        details_version=payload.details_version,
        active=payload.active,
        deactivation_id=to_optional_id(payload.deactivation_id),
        opted_in_at=to_optional_time(payload.mail_opt_in_time),
        account_owner=payload.account_owner,
    )


def _to_profile(payload: directory_events_pb2.ProfileState) -> ProfileState:
    return ProfileState(
        clinic_id=UUID(payload.clinic_id),
        profile_id=UUID(payload.profile_id),
        stamp=_stamp(payload),
        details_version=payload.details_version,
        override=_OVERRIDES.get(payload.messaging_override, Override.INHERIT),
        merged_into=to_optional_id(payload.merged_into_profile_id),
        merge_id=to_optional_id(payload.merge_id),
        do_not_email=payload.do_not_email,
        unmerged_at=to_optional_time(payload.unmerge_time),
        mailable_since=to_optional_time(payload.mailable_time),
    )


def _to_session(payload: directory_events_pb2.SessionState) -> SessionState:
    side = Side.STAFF if payload.staff_id else Side.PROFILE
    ended_at = to_optional_time(payload.end_time)
    return SessionState(
        clinic_id=UUID(payload.clinic_id),
        session_id=UUID(payload.session_id),
        stamp=_stamp(payload),
        side=side,
        person_id=UUID(payload.staff_id or payload.profile_id),
        opened_at=to_time(payload.open_time),
        last_activity_at=to_time(payload.last_activity_time),
        ended_at=ended_at,
        end_cause=_END_CAUSES.get(payload.end_cause, EndCause.REVOKED) if ended_at else None,
    )
