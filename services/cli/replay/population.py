"""A clinic full of the people of the files, each signed in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import TypeVar

from clinic.directory.v1 import directory_internal_service_pb2 as internal_pb
from clinic.directory.v1 import directory_service_pb2 as pb
from clinic.directory.v1 import profile_pb2
from services.chassis.ids import uuid7
from services.cli import people as making
from services.cli.actor import Actor, join
from services.cli.commands.importing import Imported, import_profiles
from services.cli.failures import Failed, Refused
from services.cli.replay.dialogues import Dialogue
from services.cli.replay.fhir import Patient, People
from services.cli.replay.pairing import pairs, staff_needed
from services.cli.sessions import Desk, profile, staff
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
    answer = await owner.caller.call(desk.suite.directory.UpdateMessagingSettings, allow)
    if not answer.applied:
        raise Failed("Messaging was switched on, but it was not confirmed in time.")
    return Clinic(id, desk, desk.platform(id), owner)


async def import_people(clinic: Clinic, people: People) -> Imported:
    """The patients, as a FHIR file through ImportProfiles."""
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


async def hire(clinic: Clinic, names: Sequence[str], *, least: int) -> int:
    """Make staff members of these names, and further ones until there are enough; how many
    further ones it took."""

    async def hired(name: str) -> Actor | None:
        try:
            made = await making.create_staff(clinic.desk.suite, clinic.platform, name=name)
        except Refused:
            return None  # A name that the directory does not take.
        person = staff(made.staff_id)
        return await join(clinic.desk, person, clinic_id=clinic.id, name=name, email="")

    found = await side_by_side(hired, names)
    clinic.staff.extend(actor for actor in found if actor is not None)
    missing = max(least - len(clinic.staff), 0)
    further = await side_by_side(hired, [f"Practitioner {n}" for n in islice(count(1), missing)])
    clinic.staff.extend(actor for actor in further if actor is not None)
    return missing


async def find_patients(clinic: Clinic, people: People) -> list[Patient]:
    """Sign in everybody whom the import made; the patients who cannot be found."""
    wanted = {patient.address.casefold(): patient for patient in people.patients}
    found = dict[str, profile_pb2.Profile]()
    for initial in people.initials():
        async for each in _search(clinic.owner, initial):
            if each.email.casefold() in wanted:
                found[each.email.casefold()] = each
        if len(found) == len(wanted):
            break

    async def joined(each: profile_pb2.Profile) -> Actor:
        who, name = profile(each.profile_id), each.display_name
        return await join(clinic.desk, who, clinic_id=clinic.id, name=name, email=each.email)

    ordered = [found[address] for address in wanted if address in found]
    if not ordered:
        raise Failed("None of the patients could be imported: see `clinic import` for the reasons.")
    clinic.patients.extend(await side_by_side(joined, ordered))
    return [patient for address, patient in wanted.items() if address not in found]


async def _search(caller: Actor, query: str) -> AsyncIterator[profile_pb2.Profile]:
    request = pb.SearchProfilesRequest(query=query, page_size=_PAGE)
    while True:
        page = await caller.caller.call(caller.suite.directory.SearchProfiles, request)
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
