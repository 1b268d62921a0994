"""Whom the fuzz acts for: somebody new for every RPC, so that what it ruined is in nobody's way."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from uuid import uuid4

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clinic.conversations.v1 import conversations_service_pb2 as conversations
from clinic.directory.v1 import directory_service_pb2 as directory
from services.chassis.telemetry import TASK_RESTARTS
from tests.access import table
from tests.access.requests import Asking, request
from tests.support.rpcs import Rpc, rpc
from tests.support.two_clinics import Caller, Clinic, Machine, Person, TwoClinics


@dataclass
class Victim:
    """A clinic of its own beside the two of the test."""

    clinics: TwoClinics

    def __post_init__(self) -> None:
        self.clinic = Clinic(self.clinics.suite, "victimword")
        self.clinics.others.append(self.clinic)
        self.tokens: list[str] = []
        self._people: dict[str, Caller] = {}

    async def open(self) -> None:
        await self.clinic.open()
        self.tokens = await self._tokens_of_others()

    async def people(self) -> dict[str, Caller]:
        """A staff member with full access, a patient and all machines, able to do all they may."""
        if not await self._unhurt():
            clinic, name = self.clinic, uuid4().hex[:8]
            staff, patient = f"staff{name}", f"patient{name}"
            await clinic.hire(staff, "full")
            await clinic.register(patient, by=staff)
            await clinic.talk(f"thread{name}", staff, patient)
            self._people = {
                "staff": clinic.people[staff],
                "patient": clinic.people[patient],
                **{machine: clinic.machine(machine) for machine in clinic.suite.keys.machines},
                "nowhere": Machine(clinic.suite, "ops:support", None),
            }
        return self._people

    async def _unhurt(self) -> bool:
        if not self._people:
            return False
        staff, patient = self._people["staff"], self._people["patient"]
        assert isinstance(patient, Person)
        other = directory.ListSessionsRequest(profile_id=patient.id).SerializeToString()
        listed = await self.clinic.ask(staff, rpc("directory.ListSessions"), other)
        touched = await self.clinic.ask(patient, rpc("directory.TouchSession"), b"")
        return listed.code is touched.code is grpc.StatusCode.OK

    def ids(self) -> dict[str, Sequence[str]]:
        """By the end of a field's name; those of the other clinics are among them."""
        clinics = (self.clinic, self.clinics.near, self.clinics.far)
        people = [person for clinic in clinics for person in list(clinic.people.values())[-8:]]
        return {
            "conversation_id": [id for c in clinics for id in list(c.threads.values())[-4:]],
            "staff_id": [person.id for person in people if person.side == "staff"],
            "profile_id": [person.id for person in people if person.side == "profile"],
            "recipient_id": [person.id for person in people],
            "person_id": [person.id for person in people],
            "session_id": [person.session_id for person in people],
            "merge_id": [id for c in clinics for id in c.merges.values()],
            "export_id": [id for c in clinics for id in c.exports.values()],
            "delivery_id": [id for c in clinics for id in c.deliveries],
            "clinic_id": [clinic.id for clinic in clinics],
            "request_id": [str(uuid4()), str(uuid4())],
            "dead_letter_id": [str(uuid4())],
        }

    def hidden(self, sent: bytes) -> list[str]:
        """Words of the other clinics that were not in the request itself."""
        others = (self.clinics.near, self.clinics.far)
        words = [clinic.word for clinic in others]
        return [word for word in words if word.encode() not in sent.lower()]

    def hidden_ids(self, sent: bytes) -> list[str]:
        """Their ids, which no person may be told either."""
        others = (self.clinics.near, self.clinics.far)
        ids = [
            id
            for clinic in others
            for id in (
                clinic.id,
                *clinic.threads.values(),
                *(person.id for person in clinic.people.values()),
                *(person.session_id for person in clinic.people.values()),
            )
        ]
        # An id is told back in the one spelling that it has.
        return [id for id in ids if id.encode() not in sent.lower()]

    async def valid(self, rpc: Rpc, caller: Caller) -> list[bytes]:
        """What the first row of the RPC asks; about the near clinic, so that it is refused here."""
        object = table.rows_of(rpc.name)[0].object
        built = await request(Asking(self.clinics, rpc, "participant", caller, object))
        if isinstance(built, tuple):
            built = built[0]
        parts = built if isinstance(built, list) else [built]
        return [part.SerializeToString() for part in parts]

    async def _tokens_of_others(self) -> list[str]:
        """Pages and a position of people of the near clinic."""
        near = self.clinics.near
        participant, owner = near.people["participant"], near.people["owner"]
        inbox = conversations.ListConversationsRequest(page_size=1)
        staff = directory.ListStaffMembersRequest(page_size=1)
        first = conversations.WatchInboxRequest()
        return [
            (
                await near.call(participant, "conversations.ListConversations", inbox)
            ).next_page_token,
            (await near.call(owner, "directory.ListStaffMembers", staff)).next_page_token,
            (await near.call(participant, "conversations.WatchInbox", first)).resume_token,
            "A" * 40,
            "=" * 10,
            "A" * 5_000,
        ]

    def task_restarts(self) -> float:
        [metric] = TASK_RESTARTS.collect()
        return sum(sample.value for sample in metric.samples if sample.name.endswith("_total"))

    async def doors_that_do_not_serve(self) -> list[str]:
        serving = health_pb2.HealthCheckResponse.SERVING
        return [
            name
            for name, door in self.clinics.suite.doors.items()
            if (await _health(door)) != serving
        ]


async def _health(door: grpc.aio.Channel) -> int:
    async with asyncio.timeout(10):
        found = await health_pb2_grpc.HealthStub(door).Check(health_pb2.HealthCheckRequest())
    status: int = found.status
    return status


def callers_of(rpc: Rpc, people: dict[str, Caller], random: Random) -> Caller:
    """Mostly somebody who may call it, for then the request is read."""
    if random.random() < 0.1:
        return random.choice(list(people.values()))
    if rpc.public:
        return people[random.choice(("staff", "staff", "patient"))]
    return people[random.choice(rpc.machines)]
