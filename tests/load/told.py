"""A suite whose patients are told by mail: people, threads, and what has come of the messages."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psycopg

from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.notifications.v1 import device_pb2
from clinic.notifications.v1.notifications_service_pb2 import RegisterDeviceRequest
from deploy.local.stack import Stack
from services.chassis.ids import uuid7
from services.cli import people
from services.cli.sessions import Desk, SignedIn, profile
from services.cli.suite import Suite
from tests.support.eventually import eventually
from tests.support.suite import Clinic, open_clinic

_AT_ONCE = 8
_EXPECTED = """
insert into deliveries (clinic_id, id, message_id, conversation_id, sequence, recipient_side,
    recipient_id, channel, state, message_sent_at, decided_at, due_at, dispatch_id, attempts,
    resent, version)
select %(clinic)s, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 'profile', id,
    %(channel)s, 'HELD', now(), now(), now(), gen_random_uuid(), 0, false, 1
from unnest(%(profiles)s::uuid[]) as id cross join generate_series(1, %(each)s)
"""


@dataclass(frozen=True, slots=True)
class Patient:
    """Somebody with a thread, in which `sender` is the practitioner."""

    clinic_id: UUID
    id: UUID
    address: str
    conversation_id: str
    sender: SignedIn


async def patients(suite: Suite, *, clinics: int, each: int) -> list[Patient]:
    """Clinics whose mail does not wait, each with an owner who writes to all of these."""
    found: list[Patient] = []
    for number in range(clinics):
        clinic = await open_clinic(
            suite, name=f"Clinic {number}", owner="Olga", owner_email="olga@clinic.test"
        )
        for start in range(0, each, _AT_ONCE):
            part = range(start, min(start + _AT_ONCE, each))
            made = [_patient(suite, clinic, f"p{number}-{n}@mail.test") for n in part]
            found += await asyncio.gather(*made)
    return found


async def _patient(suite: Suite, clinic: Clinic, address: str) -> Patient:
    owner = clinic.owner.caller
    assert isinstance(owner, SignedIn)
    made = await people.create_profile(suite, owner, name="Pat", email=address)
    request = pb.StartConversationRequest(profile_id=made.profile_id, request_id=str(uuid7()))
    started = await owner.call(suite.conversations.StartConversation, request)
    id = UUID(made.profile_id)
    conversation_id = started.conversation.conversation_id
    return Patient(UUID(clinic.id), id, address, conversation_id, owner)


async def register_phones(suite: Suite, told: Sequence[Patient]) -> None:
    """Each patient signs in, with one phone; its push token is the patient's id."""
    desk = Desk(suite)

    async def register(patient: Patient) -> None:
        person = profile(str(patient.id))
        signed_in = await desk.sign_in(person, clinic_id=str(patient.clinic_id))
        request = RegisterDeviceRequest(
            platform=device_pb2.PLATFORM_APNS,
            push_token=patient.id.hex,
            request_id=str(uuid7()),
        )
        await signed_in.call(suite.notifications.RegisterDevice, request)

    for start in range(0, len(told), _AT_ONCE):
        await asyncio.gather(*(register(each) for each in told[start : start + _AT_ONCE]))


def insert_due(stack: Stack, told: Sequence[Patient], *, channel: str, each: int) -> int:
    """Deliveries that are due now, each a dispatch of its own, as if they had been decided."""
    by_clinic: dict[UUID, list[UUID]] = {}
    for patient in told:
        by_clinic.setdefault(patient.clinic_id, []).append(patient.id)
    with psycopg.connect(stack.superuser_url("notifications")) as connection:
        for clinic_id, profiles in by_clinic.items():
            row = {"clinic": clinic_id, "profiles": profiles, "each": each, "channel": channel}
            connection.execute(_EXPECTED, row)
    return len(told) * each


def states(stack: Stack, *, channel: str = "EMAIL") -> Counter[str]:
    """How many deliveries are in which state."""
    query = "select state, count(*) from deliveries where channel = %s group by state"
    with psycopg.connect(stack.superuser_url("notifications")) as connection:
        return Counter(dict(connection.execute(query, [channel]).fetchall()))


async def settled(stack: Stack, *, channel: str = "EMAIL") -> bool:
    found = await asyncio.to_thread(states, stack, channel=channel)
    return not found.keys() & {"HELD", "CLAIMED", "TRANSMITTING"}


class Arrivals:
    """The mails that came to the sink of a stack, read from its files."""

    def __init__(self, stack: Stack) -> None:
        self._folder: Path = stack.plan.state.mailbox

    def count(self) -> int:
        return len(self.names())

    def names(self) -> list[str]:
        """In the order of arrival."""
        return sorted(file.stem for file in self._folder.glob("*.json"))

    def times(self, names: Sequence[str]) -> list[float]:
        """When they came, in seconds of the wall clock."""
        return [_time(name) for name in names]

    def by_address(self, names: Sequence[str]) -> dict[str, list[float]]:
        """When each address got its mails."""
        found: dict[str, list[float]] = {}
        for name in names:
            said = json.loads((self._folder / f"{name}.json").read_text())
            found.setdefault(said["recipients"][0], []).append(_time(name))
        return found

    def raw(self, name: str) -> bytes:
        return (self._folder / f"{name}.eml").read_bytes()


def _time(name: str) -> float:
    stamp = name.partition("-")[0]
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC).timestamp()


class PushArrivals:
    """The pushes that came to the sink of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._file: Path = stack.plan.state.pushes / "pushes.jsonl"

    def count(self) -> int:
        return len(self._lines())

    def last(self) -> tuple[float, bytes]:
        """When the last one came, in seconds of the wall clock, and what it held."""
        said = json.loads(self._lines()[-1])
        at = datetime.fromisoformat(said["received_at"]).timestamp()
        return at, json.dumps(said["payload"]).encode()

    def _lines(self) -> list[bytes]:
        return self._file.read_bytes().splitlines() if self._file.exists() else []


async def waited(condition: Callable[[], bool], *, within: float) -> None:
    """Until it holds, looked at in a thread of its own."""

    async def holds() -> bool:
        return await asyncio.to_thread(condition)

    await eventually(holds, within=within)
