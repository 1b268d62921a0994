"""The RPCs of a running stack, and clinics with people in them, as tests make them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from clinic.conversations.v1 import conversations_service_pb2 as pb
from deploy.local.stack import Stack
from services.chassis.ids import uuid7
from services.cli import people, places
from services.cli.sessions import Desk, Person, profile, staff
from services.cli.suite import Caller, Suite

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@asynccontextmanager
async def suite_of(stack: Stack) -> AsyncIterator[Suite]:
    suite = Suite(places.find({"LOCAL_STATE": str(stack.plan.state.directory)}))
    try:
        yield suite
    finally:
        await suite.close()


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody of a clinic, signed in."""

    person: Person
    caller: Caller

    @property
    def id(self) -> str:
        return self.person.id

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request
    ) -> Response:
        return await self.caller.call(method, request)


@dataclass(frozen=True, slots=True)
class Clinic:
    """A clinic with messaging on and no hold before mails."""

    suite: Suite
    desk: Desk
    id: str
    owner: Member

    async def hire(self, name: str, *, email: str = "") -> Member:
        platform = self.desk.platform(self.id)
        made = await people.create_staff(self.suite, platform, name=name, email=email)
        return await self.sign_in(staff(made.staff_id))

    async def register(self, name: str, *, email: str) -> Member:
        made = await people.create_profile(self.suite, self.owner.caller, name=name, email=email)
        return await self.sign_in(profile(made.profile_id))

    async def start(self, sender: Member, recipient: Member) -> str:
        """The id of the conversation between the two."""
        request = pb.StartConversationRequest(profile_id=recipient.id, request_id=str(uuid7()))
        answer = await sender.call(self.suite.conversations.StartConversation, request)
        return answer.conversation.conversation_id

    async def sign_in(self, person: Person) -> Member:
        """Open a session; earlier ones of the same person stay as they are."""
        return Member(person, await self.desk.sign_in(person, clinic_id=self.id))


async def open_clinic(suite: Suite, *, name: str, owner: str, owner_email: str) -> Clinic:
    desk = Desk(suite)
    made = await people.create_clinic(
        suite, desk.platform(), name=name, owner=owner, owner_email=owner_email
    )
    person, clinic_id = staff(made.staff_member.staff_id), made.clinic.clinic_id
    member = Member(person, await desk.sign_in(person, clinic_id=clinic_id))
    await member.call(
        suite.directory.UpdateMessagingSettings, people.allow_messaging(hold_seconds=0)
    )
    return Clinic(suite, desk, clinic_id, member)
