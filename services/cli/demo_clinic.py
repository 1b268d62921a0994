"""A small clinic to try things with: made once, found again ever after."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid5

from clinic.conversations.v1 import conversations_service_pb2 as conversations_pb
from clinic.directory.v1 import directory_service_pb2 as pb
from clinic.directory.v1 import profile_pb2, staff_member_pb2
from services.cli import people
from services.cli.failures import Refused
from services.cli.sessions import Desk, parse_person, profile, staff
from services.cli.suite import Caller, Suite

NAME = "Harbour Street Clinic"
GREETING = (
    "Good morning Nadia,\n\nyour results are in, and all is well. "
    "If anything is unclear, just write back here."
)
# The same request ids at every run: whoever made it first, it is made once.
_REQUESTS = UUID("6f0b4b0e-3a52-4a5f-9a3c-7d0c4c1d9e55")


@dataclass(frozen=True, slots=True)
class DemoClinic:
    """Its people by the names that --as takes, each as `staff:<id>` or `profile:<id>`."""

    clinic_id: str
    conversation_id: str
    people: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Staff:
    alias: str
    name: str
    access: staff_member_pb2.AccessLevel
    kind: staff_member_pb2.StaffKind = staff_member_pb2.STAFF_KIND_PRACTITIONER

    @property
    def email(self) -> str:
        return _email(self.alias)


@dataclass(frozen=True, slots=True)
class _Profile:
    alias: str
    name: str
    kind: profile_pb2.ProfileKind = profile_pb2.PROFILE_KIND_PATIENT

    @property
    def email(self) -> str:
        return _email(self.alias)


_OWNER = "Olivia Grant"
_STAFF = (
    _Staff("practitioner", "Dr. Maya Lindqvist", staff_member_pb2.ACCESS_LEVEL_STANDARD),
    _Staff("colleague", "Dr. Tomás Rivera", staff_member_pb2.ACCESS_LEVEL_STANDARD),
    _Staff(
        "front-desk",
        "Sam Porter",
        staff_member_pb2.ACCESS_LEVEL_LIMITED,
        staff_member_pb2.STAFF_KIND_ADMINISTRATOR,
    ),
)
_PROFILES = (
    _Profile("patient", "Nadia Haddad"),
    _Profile("other-patient", "Jonas Weber"),
    _Profile("contact", "Leila Haddad", profile_pb2.PROFILE_KIND_CONTACT),
)


async def seed(suite: Suite, desk: Desk, *, known: DemoClinic | None = None) -> DemoClinic:
    """The demo clinic, made where it is missing; `known` is what an earlier run found."""
    created = await people.create_clinic(
        suite,
        desk.platform(),
        name=NAME,
        owner=_OWNER,
        owner_email=_email("owner"),
        request_id=_request("clinic"),
    )
    clinic_id, owner_id = created.clinic.clinic_id, created.staff_member.staff_id
    if known is not None and known.clinic_id == clinic_id:
        return known
    async with desk.signed_in(staff(owner_id), clinic_id=clinic_id) as owner:
        found = {
            "owner": str(staff(owner_id)),
            **await _staff(suite, owner, desk.platform(clinic_id)),
            **await _profiles(suite, owner),
        }
        await owner.call(suite.directory.UpdateMessagingSettings, people.allow_messaging())
    conversation_id = await _first_message(suite, desk, clinic_id, found)
    return DemoClinic(clinic_id, conversation_id, found)


async def sign_in(desk: Desk, demo: DemoClinic) -> dict[str, str]:
    """A token for each person who may sign in now."""
    tokens = {}
    for alias, person in demo.people.items():
        with suppress(Refused):  # Deactivated or merged away, by somebody who tried that out.
            signed_in = await desk.sign_in(parse_person(person), clinic_id=demo.clinic_id)
            tokens[alias] = signed_in.token
    return tokens


def commands_to_try(demo: DemoClinic) -> list[str]:
    return [
        ".venv/bin/clinic inbox --as patient",
        f'.venv/bin/clinic send {demo.conversation_id} "Thank you!" --as patient',
        f".venv/bin/clinic read {demo.conversation_id} --as practitioner",
    ]


async def _staff(suite: Suite, owner: Caller, platform: Caller) -> dict[str, str]:
    request = pb.ListStaffMembersRequest(include_inactive=True, page_size=200)
    listed = await owner.call(suite.directory.ListStaffMembers, request)
    ids = {member.email: member.staff_id for member in listed.staff_members}
    for each in _STAFF:
        if each.email not in ids:
            made = await people.create_staff(
                suite,
                platform,
                name=each.name,
                email=each.email,
                access=each.access,
                kind=each.kind,
                request_id=_request(each.alias),
            )
            ids[each.email] = made.staff_id
    return {each.alias: str(staff(ids[each.email])) for each in _STAFF}


async def _profiles(suite: Suite, owner: Caller) -> dict[str, str]:
    found = {}
    for each in _PROFILES:
        id = await _profile_by_email(suite, owner, each) or await _new_profile(suite, owner, each)
        found[each.alias] = str(profile(id))
    return found


async def _profile_by_email(suite: Suite, owner: Caller, wanted: _Profile) -> str | None:
    request = pb.SearchProfilesRequest(query=wanted.name)
    answer = await owner.call(suite.directory.SearchProfiles, request)
    ids = (each.profile.profile_id for each in answer.results if each.profile.email == wanted.email)
    return next(ids, None)


async def _new_profile(suite: Suite, owner: Caller, wanted: _Profile) -> str:
    made = await people.create_profile(
        suite,
        owner,
        name=wanted.name,
        email=wanted.email,
        kind=wanted.kind,
        request_id=_request(wanted.alias),
    )
    return made.profile_id


async def _first_message(suite: Suite, desk: Desk, clinic_id: str, found: Mapping[str, str]) -> str:
    practitioner, patient = (parse_person(found[alias]) for alias in ("practitioner", "patient"))
    async with desk.signed_in(practitioner, clinic_id=clinic_id) as caller:
        start = conversations_pb.StartConversationRequest(
            profile_id=patient.id, request_id=_request("conversation")
        )
        started = await caller.call(suite.conversations.StartConversation, start)
        send = conversations_pb.SendMessageRequest(
            conversation_id=started.conversation.conversation_id,
            body=GREETING,
            request_id=_request("message"),
        )
        await caller.call(suite.conversations.SendMessage, send)
    return started.conversation.conversation_id


def _email(alias: str) -> str:
    return f"{alias}@harbour-street.example.test"


def _request(what: str) -> str:
    return str(uuid5(_REQUESTS, what))
