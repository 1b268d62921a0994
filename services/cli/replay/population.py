"""A clinic full of the people of the files, each signed in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from clinic.directory.v1 import directory_internal_service_pb2 as internal_pb
from clinic.directory.v1 import directory_service_pb2 as pb
from clinic.directory.v1 import profile_pb2, staff_member_pb2
from services.chassis.ids import uuid7
from services.cli import people as making
from services.cli.actor import Actor, join
from services.cli.commands.importing import Imported, import_profiles
from services.cli.confirming import confirmed
from services.cli.failures import Failed
from services.cli.replay.dialogues import Dialogue
from services.cli.replay.fhir import People
from services.cli.replay.pairing import pairs, staff_needed
from services.cli.sessions import Desk, Person, Side, profile, staff
from services.cli.suite import Caller

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 8
_PAGE = 200
_CHUNK_BYTES = 48 * 1024


@dataclass(slots=True)
class Scene:
    """One dialogue and its two people; the conversation is empty until it was started."""

    dialogue: Dialogue
    staff: Actor
    patient: Actor
    conversation_id: str = ""


@dataclass
class Clinic:
    """The clinic of a replay; the owner has full access."""

    id: str
    desk: Desk
    platform: Caller
    owner: Actor
    staff: list[Actor] = field(default_factory=list)
    patients: list[Actor] = field(default_factory=list)

    async def sign_in(self, patient: Actor) -> Actor:
        """The same patient with a new session."""
        return await join(
            self.desk, patient.person, clinic_id=self.id, name=patient.name, email=patient.email
        )


async def open_clinic(desk: Desk) -> Clinic:
    """A new clinic that allows messaging and holds no mail back."""
    made = await making.create_clinic(
        desk.suite,
        desk.platform(),
        name="Replay Clinic",
        owner="Replay Owner",
        owner_email="owner@replay.example.test",
    )
    id = made.clinic.clinic_id
    owner = await join(
        desk,
        staff(made.staff_member.staff_id),
        clinic_id=id,
        name="the owner",
        email=made.staff_member.email,
    )
    allow = making.allow_messaging(hold_seconds=0)
    await confirmed(owner.caller, desk.suite.directory.UpdateMessagingSettings, allow)
    return Clinic(id, desk, desk.platform(id), owner)


async def import_people(clinic: Clinic, people: People) -> Imported:
    """Everybody, as one FHIR file through ImportProfiles."""
    header = internal_pb.ImportProfilesRequest.Header(
        format=internal_pb.IMPORT_FORMAT_FHIR_NDJSON,
        source_system="replay",
        request_id=str(uuid7()),
    )
    content = b"".join(people.file())
    chunks = (
        content[start : start + _CHUNK_BYTES] for start in range(0, len(content), _CHUNK_BYTES)
    )
    return await import_profiles(clinic.desk.suite, clinic.platform, header=header, chunks=chunks)


async def gather(clinic: Clinic, people: People) -> None:
    """Find everybody whom the import made, and sign them in."""
    staff_members = await _imported_staff(clinic, people)
    clinic.staff.extend(
        await side_by_side(
            lambda member: _join(clinic, staff(member.staff_id), member.display_name, member.email),
            staff_members,
        )
    )
    profiles = await _imported_profiles(clinic, people)
    clinic.patients.extend(
        await side_by_side(
            lambda found: _join(clinic, profile(found.profile_id), found.display_name, found.email),
            profiles,
        )
    )
    if not clinic.patients:
        raise Failed("No patient could be imported: `clinic import` tells why, row by row.")


async def hire(clinic: Clinic, *, least: int) -> int:
    """Make further staff members until there are as many; how many it took."""

    async def hired(number: int) -> Actor:
        name = f"Practitioner {number}"
        made = await making.create_staff(clinic.desk.suite, clinic.platform, name=name)
        return await _join(clinic, staff(made.staff_id), name, "")

    missing = max(least - len(clinic.staff), 0)
    clinic.staff.extend(await side_by_side(hired, range(1, missing + 1)))
    return missing


async def _join(clinic: Clinic, person: Person, name: str, email: str) -> Actor:
    return await join(clinic.desk, person, clinic_id=clinic.id, name=name, email=email)


async def _imported_staff(clinic: Clinic, people: People) -> list[staff_member_pb2.StaffMember]:
    request = pb.ListStaffMembersRequest(page_size=_PAGE)
    found: list[staff_member_pb2.StaffMember] = []
    while True:
        stub = clinic.desk.suite.directory.ListStaffMembers
        page = await clinic.owner.caller.call(stub, request)
        found.extend(
            each
            for each in page.staff_members
            if (Side.STAFF, each.email.casefold()) in people.owners
        )
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def _imported_profiles(clinic: Clinic, people: People) -> list[profile_pb2.Profile]:
    """In the order of their ids, which is that of the file."""
    found = dict[str, profile_pb2.Profile]()
    for initial in sorted(people.initials):
        async for each in _search(clinic.owner, initial):
            if (Side.PROFILE, each.email.casefold()) in people.owners:
                found[each.profile_id] = each
    return [found[id] for id in sorted(found)]


async def _search(actor: Actor, query: str) -> AsyncIterator[profile_pb2.Profile]:
    request = pb.SearchProfilesRequest(query=query, page_size=_PAGE)
    while True:
        page = await actor.caller.call(actor.suite.directory.SearchProfiles, request)
        for result in page.results:
            yield result.profile
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def cast(dialogues: Sequence[Dialogue], clinic: Clinic) -> list[Scene]:
    """Give each dialogue two people of its own."""
    places = pairs(len(dialogues), patients=len(clinic.patients), staff=len(clinic.staff))
    return [
        Scene(dialogue, clinic.staff[staff_place], clinic.patients[patient_place])
        for dialogue, (staff_place, patient_place) in zip(dialogues, places, strict=True)
    ]


def least_staff(dialogues: int, clinic: Clinic) -> int:
    return staff_needed(dialogues, len(clinic.patients))


async def side_by_side(
    work: Callable[[T], Awaitable[R]], items: Sequence[T], *, at_once: int = _AT_ONCE
) -> list[R]:
    """The results in the order of the items, a few under way at a time; the first failure ends
    the others and is raised as it is."""
    permits = asyncio.Semaphore(at_once)

    async def permitted(item: T) -> R:
        async with permits:
            return await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(permitted(item)) for item in items]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
