"""Two clinics in a composed suite, with somebody of every kind and words that tell their place.

Every name, address and text of a clinic holds the clinic's own word, and every text its thread's
word too, so that a byte out of place is seen wherever it turns up.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from clinic.conversations.v1 import conversations_service_pb2 as conversations_pb
from clinic.directory.v1 import clinic_pb2, profile_pb2, staff_member_pb2
from clinic.directory.v1 import directory_internal_service_pb2 as directory_internal_pb
from clinic.directory.v1 import directory_service_pb2 as directory_pb
from clinic.export.v1 import export_internal_service_pb2 as export_pb
from clinic.export.v1 import export_pb2
from tests.support.composed import Composed
from tests.support.eventually import eventually
from tests.support.grpc_world import bearer
from tests.support.rpcs import Answer, Rpc, call, rpc

# As long as a token of a test is used; those of machines live for 60 seconds.
_TOKEN_SECONDS = 30
_LEVELS = {
    "limited": staff_member_pb2.ACCESS_LEVEL_LIMITED,
    "standard": staff_member_pb2.ACCESS_LEVEL_STANDARD,
    "full": staff_member_pb2.ACCESS_LEVEL_FULL,
}


@dataclass
class Person:
    """A staff member or a profile, signed in."""

    suite: Composed
    clinic_id: str
    side: str
    id: str
    session_id: str
    human: str = field(default_factory=lambda: str(uuid4()))
    _token: tuple[float, str] = (0.0, "")

    @property
    def metadata(self) -> Any:
        made, token = self._token
        if time.monotonic() - made > _TOKEN_SECONDS:
            token = self.suite.keys.person(
                acting=f"{self.side}:{self.id}",
                clinic_id=self.clinic_id,
                sid=self.session_id,
                sub=self.human,
            )
            self._token = (time.monotonic(), token)
        return bearer(token)


@dataclass
class Machine:
    """A service, platform system or ops, for one clinic or for none."""

    suite: Composed
    name: str
    clinic_id: str | None
    _token: tuple[float, str] = (0.0, "")

    @property
    def metadata(self) -> Any:
        made, token = self._token
        if time.monotonic() - made > _TOKEN_SECONDS:
            self._token = (time.monotonic(), token := self.suite.keys.machine(self.name))
        more = {} if self.clinic_id is None else {"clinic_id": self.clinic_id}
        return bearer(token, **more)


Caller = Person | Machine


@dataclass
class Clinic:
    """A tenant; `word` is in all its names, `threads` by the name a test knows them by."""

    suite: Composed
    word: str
    id: str = ""
    people: dict[str, Person] = field(default_factory=dict)
    threads: dict[str, str] = field(default_factory=dict)
    merges: dict[str, str] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)
    deliveries: list[str] = field(default_factory=list)
    _machines: dict[str, "Machine"] = field(default_factory=dict)

    def machine(self, name: str) -> Machine:
        return self._machines.setdefault(name, Machine(self.suite, name, self.id))

    def text_of(self, thread: str) -> str:
        """What every text in a thread holds."""
        return f"text{self.word}{thread}"

    def address(self, name: str) -> str:
        return f"{name}@{self.word}.test"

    async def call(self, caller: Caller, name: str, request: Any) -> Any:
        """The answer to a call that has to succeed."""
        answer = await self.ask(caller, rpc(name), request.SerializeToString())
        assert answer.reason == "", f"{name}: {answer}"
        return rpc(name).response.FromString(answer.responses[0])

    async def ask(self, caller: Caller, rpc: Rpc, request: bytes) -> Answer:
        door = self.suite.door(rpc.service, public=rpc.public)
        return await call(door, rpc, request, metadata=caller.metadata)

    async def open(self) -> None:
        """Make the clinic, with messaging on."""
        request = directory_internal_pb.CreateClinicRequest(
            clinic_name=f"Clinic {self.word}",
            owner_display_name=f"Owner {self.word}",
            owner_email=self.address("owner"),
            request_id=str(uuid4()),
        )
        platform = Machine(self.suite, "platform:gateway", None)
        made = await self.call(platform, "directory.internal.CreateClinic", request)
        self.id = made.clinic.clinic_id
        await self.sign_in("owner", "staff", made.staff_member.staff_id)
        settings = directory_pb.UpdateMessagingSettingsRequest(
            messaging_settings=clinic_pb2.MessagingSettings(
                messaging_policy=clinic_pb2.MESSAGING_POLICY_ALLOWED
            ),
            update_mask={"paths": ["messaging_policy"]},
            request_id=str(uuid4()),
        )
        await self.call(self.people["owner"], "directory.UpdateMessagingSettings", settings)

    async def hire(self, name: str, level: str = "standard") -> Person:
        request = directory_internal_pb.CreateStaffMemberRequest(
            staff_member=staff_member_pb2.StaffMember(
                kind=staff_member_pb2.STAFF_KIND_PRACTITIONER,
                access_level=_LEVELS[level],
                display_name=f"{name} {self.word}",
                email=self.address(name),
            ),
            request_id=str(uuid4()),
        )
        platform = self.machine("platform:gateway")
        made = await self.call(platform, "directory.internal.CreateStaffMember", request)
        return await self.sign_in(name, "staff", made.staff_member.staff_id)

    async def register(self, name: str, *, contact: bool = False, by: str = "owner") -> Person:
        kind = profile_pb2.PROFILE_KIND_CONTACT if contact else profile_pb2.PROFILE_KIND_PATIENT
        request = directory_pb.CreateProfileRequest(
            profile=profile_pb2.Profile(
                kind=kind, display_name=f"{name} {self.word}", email=self.address(name)
            ),
            request_id=str(uuid4()),
        )
        made = await self.call(self.people[by], "directory.CreateProfile", request)
        return await self.sign_in(name, "profile", made.profile.profile_id)

    async def sign_in(self, name: str, side: str, id: str) -> Person:
        person = self.people[name] = await self.session(side, id)
        return person

    async def session(self, side: str, id: str) -> Person:
        """Signed in once more, beside what is open already."""
        request = directory_internal_pb.OpenSessionRequest(
            **{f"{side}_id": id}, request_id=str(uuid4())
        )
        platform = self.machine("platform:gateway")
        opened = await self.call(platform, "directory.internal.OpenSession", request)
        return Person(self.suite, self.id, side, id, opened.session.session_id)

    async def sign_out(self, person: Person) -> None:
        await self.call(person, "directory.CloseSession", directory_pb.CloseSessionRequest())

    async def start(self, thread: str, staff: str, profile: str) -> str:
        request = conversations_pb.StartConversationRequest(
            profile_id=self.people[profile].id, request_id=str(uuid4())
        )
        made = await self.call(self.people[staff], "conversations.StartConversation", request)
        self.threads[thread] = made.conversation.conversation_id
        return self.threads[thread]

    async def talk(self, thread: str, staff: str, profile: str) -> None:
        """A thread with one message of each side."""
        id = await self.start(thread, staff, profile)
        for sender in (staff, profile):
            request = conversations_pb.SendMessageRequest(
                conversation_id=id,
                body=f"{self.text_of(thread)} of {sender}",
                request_id=str(uuid4()),
            )
            await self.call(self.people[sender], "conversations.SendMessage", request)

    async def merge(self, secondary: str, into: str) -> None:
        request = directory_pb.MergeProfilesRequest(
            primary_profile_id=self.people[into].id,
            secondary_profile_id=self.people[secondary].id,
            request_id=str(uuid4()),
        )
        made = await self.call(self.people["owner"], "directory.MergeProfiles", request)
        assert made.applied
        self.merges[secondary] = made.merge.merge_id

    async def deactivate(self, name: str) -> None:
        request = directory_pb.DeactivateStaffMemberRequest(
            staff_id=self.people[name].id, request_id=str(uuid4())
        )
        made = await self.call(self.people["owner"], "directory.DeactivateStaffMember", request)
        assert made.applied

    async def export(self, name: str, staff: str) -> None:
        """Ask for an export of somebody's messages, and wait until it is built."""
        ops = self.machine("ops:support")
        request = export_pb.CreateExportRequest(
            staff_id=self.people[staff].id,
            requester_address=self.address("owner"),
            request_id=str(uuid4()),
        )
        made = await self.call(ops, "export.internal.CreateExport", request)
        self.exports[name] = id = made.export.export_id

        async def built() -> bool:
            asked = export_pb.GetExportRequest(export_id=id)
            found = await self.call(ops, "export.internal.GetExport", asked)
            return bool(found.export.state == export_pb2.EXPORT_STATE_READY)

        await eventually(built, within=60)


@dataclass
class TwoClinics:
    suite: Composed
    near: Clinic
    far: Clinic
    others: list[Clinic] = field(default_factory=list)

    def callers(self) -> Iterator[Caller]:
        """Everybody who has a token."""
        for clinic in (self.near, self.far):
            yield from clinic.people.values()
            yield from (clinic.machine(name) for name in self.suite.keys.machines)


async def settle(suite: Composed) -> TwoClinics:
    """The near clinic has everybody, the far one enough to be hidden from it."""
    clinics = TwoClinics(suite, Clinic(suite, "nearword"), Clinic(suite, "farword"))
    await _settle_far(clinics.far)
    await _settle_near(clinics.near)
    return clinics


async def _settle_far(far: Clinic) -> None:
    await far.open()
    await far.hire("participant")
    for name in ("patient", "merged", "survivor"):
        await far.register(name)
    await far.talk("live", "participant", "patient")
    await far.merge("merged", "survivor")
    await far.export("ready", "participant")
    await _told_of(far, "live")


async def _settle_near(near: Clinic) -> None:
    await near.open()
    for level in ("limited", "standard", "full"):
        await near.hire(level, level)
    for name in ("participant", "left", "leaver", "colleague", "dual_staff", "signed_out"):
        await near.hire(name)
    for name in ("patient", "other", "merged", "survivor", "dual_patient"):
        await near.register(name)
    await near.register("contact", contact=True)
    near.people["dual_patient"].human = near.people["dual_staff"].human
    await near.talk("live", "participant", "patient")
    await near.talk("others", "participant", "other")
    await near.talk("contacts", "participant", "contact")
    await near.talk("duals", "participant", "dual_patient")
    await near.talk("merged", "participant", "merged")
    await near.talk("left", "left", "patient")
    await near.talk("both", "left", "merged")
    await near.start("empty", "dual_staff", "other")
    await _told_of(near, "live")
    near.people["merging"] = await near.session("profile", near.people["merged"].id)
    await near.merge("merged", "survivor")
    _reopen(near, near.people["merging"])
    await near.deactivate("left")
    await near.sign_out(near.people["signed_out"])
    await near.export("ready", "participant")
    await near.export("another", "participant")


def _reopen(clinic: Clinic, person: Person) -> None:
    """As if the end of this session were still on its way to the other services (I8)."""
    query = """
        update replica_sessions set ended_at = null, end_cause = null, version = version + 1000
        where session_id = %s
    """
    for service in ("conversations", "notifications"):
        clinic.suite.rows(service, query, person.session_id)


async def _told_of(clinic: Clinic, thread: str) -> None:
    """Wait until notifications has decided on the mail to the patient."""
    query = "select id from deliveries where conversation_id = %s and recipient_side = 'profile'"

    async def decided() -> bool:
        rows = clinic.suite.rows("notifications", query, clinic.threads[thread])
        clinic.deliveries = [str(row[0]) for row in rows]
        return bool(rows)

    await eventually(decided, within=60)
