"""The directory in this process, on a real database and through a real channel."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import psycopg
from joserfc.jwk import OKPKey

from clinic.directory.v1 import directory_events_pb2 as events
from clinic.directory.v1 import directory_internal_service_pb2 as internal
from clinic.directory.v1 import directory_service_pb2 as pb
from clinic.directory.v1 import profile_pb2, staff_member_pb2
from clinic.directory.v1.directory_internal_service_pb2_grpc import (
    DirectoryInternalServiceStub,
    add_DirectoryInternalServiceServicer_to_server,
)
from clinic.directory.v1.directory_service_pb2_grpc import (
    DirectoryServiceStub,
    add_DirectoryServiceServicer_to_server,
)
from services.chassis.audit import note_denial
from services.chassis.clock import system_clock
from services.chassis.database import Database
from services.chassis.paging import PageTokens
from services.chassis.server import registration
from services.directory.api.internal_servicer import DirectoryInternalServicer
from services.directory.api.servicer import DirectoryServicer
from services.directory.domain.events import State
from services.directory.storage.unit_of_work import Storage
from services.directory.usecases.confirm import Peers
from tests.support.grpc_world import Keys, bearer, serving
from tests.support.postgres import ServiceDatabase

SEALING_KEY = bytes(range(32))
_MACHINES = (
    "platform:gateway",
    "service:conversations",
    "service:notifications",
    "service:export",
)

FULL = staff_member_pb2.ACCESS_LEVEL_FULL
STANDARD = staff_member_pb2.ACCESS_LEVEL_STANDARD
LIMITED = staff_member_pb2.ACCESS_LEVEL_LIMITED


class StatedPeer:
    """Another service that confirms what it is told, or does not."""

    def __init__(self) -> None:
        self.confirms = True
        self.told: list[State] = []

    async def apply(self, states: Sequence[State]) -> bool:
        self.told.extend(states)
        return self.confirms


@dataclass
class Person:
    """A staff member or a profile, signed in."""

    world: "DirectoryWorld"
    clinic_id: str
    id: str
    side: str
    session_id: str

    async def call(self, method: str, **fields: Any) -> Any:
        """A call of DirectoryService; a `request_id` is made for a mutation that has none."""
        request_type = getattr(pb, f"{method}Request")
        if "request_id" in request_type.DESCRIPTOR.fields_by_name:
            fields.setdefault("request_id", str(uuid4()))
        stub = getattr(self.world.stub, method)
        return await stub(request_type(**fields), metadata=self.metadata)

    @property
    def metadata(self) -> Any:
        token = self.world.keys.person(
            acting=f"{self.side}:{self.id}", clinic_id=self.clinic_id, sid=self.session_id
        )
        return bearer(token)

    async def update_settings(self, **settings: Any) -> Any:
        return await self.call(
            "UpdateMessagingSettings",
            messaging_settings=settings,
            update_mask={"paths": list(settings)},
        )

    async def create_profile(self, display_name: str = "Pat Doe", **fields: Any) -> Any:
        fields = {"kind": profile_pb2.PROFILE_KIND_PATIENT, "display_name": display_name} | fields
        return (await self.call("CreateProfile", profile=fields)).profile

    async def update_profile(self, profile_id: str, **fields: Any) -> Any:
        return await self.call(
            "UpdateProfile",
            profile_id=profile_id,
            profile=fields,
            update_mask={"paths": list(fields)},
        )

    async def profile(self, profile_id: str) -> Any:
        return (await self.call("GetProfile", profile_id=profile_id)).profile

    async def search(self, query: str, **options: Any) -> list[Any]:
        return list((await self.call("SearchProfiles", query=query, **options)).results)

    async def merge(self, secondary: Any, into: Any, **more: Any) -> Any:
        response = await self.call(
            "MergeProfiles",
            primary_profile_id=into.profile_id,
            secondary_profile_id=secondary.profile_id,
            **more,
        )
        return response.merge

    async def unmerge(self, merge: Any, **more: Any) -> Any:
        response = await self.call("UnmergeProfiles", merge_id=merge.merge_id, **more)
        return response.merge


@dataclass
class DirectoryWorld:
    """The service; every test makes a clinic of its own."""

    storage: Storage
    database: Database
    worker: Database
    superuser: str
    keys: Keys
    channel: grpc.aio.Channel
    conversations: StatedPeer = field(default_factory=StatedPeer)
    notifications: StatedPeer = field(default_factory=StatedPeer)

    @property
    def stub(self) -> Any:
        return DirectoryServiceStub(self.channel)

    def as_machine(self, name: str, clinic_id: str | None = None) -> Any:
        more = {} if clinic_id is None else {"clinic_id": clinic_id}
        return bearer(self.keys.machine(name), **more)

    async def machine(
        self, method: str, *, name: str = "platform:gateway", clinic_id: str | None, **fields: Any
    ) -> Any:
        """A call of DirectoryInternalService."""
        request_type = getattr(internal, f"{method}Request", None) or getattr(
            internal, f"DirectoryInternalService{method}Request"
        )
        if "request_id" in request_type.DESCRIPTOR.fields_by_name:
            fields.setdefault("request_id", str(uuid4()))
        stub = getattr(DirectoryInternalServiceStub(self.channel), method)
        return await stub(request_type(**fields), metadata=self.as_machine(name, clinic_id))

    async def clinic(self, **fields: Any) -> Person:
        """A new clinic; its Account Owner, signed in."""
        fields = {
            "clinic_name": "Harbour Clinic",
            "owner_display_name": "Olga Owner",
            "owner_email": "olga@harbour.test",
        } | fields
        made = await self.machine("CreateClinic", clinic_id=None, **fields)
        return await self.sign_in(made.clinic.clinic_id, staff_id=made.staff_member.staff_id)

    async def staff(self, clinic_id: str, access_level: int = FULL, **fields: Any) -> Person:
        """A new staff member, signed in."""
        fields = {
            "kind": staff_member_pb2.STAFF_KIND_PRACTITIONER,
            "access_level": access_level,
            "display_name": "Dr Sam Hill",
        } | fields
        made = await self.machine("CreateStaffMember", clinic_id=clinic_id, staff_member=fields)
        return await self.sign_in(clinic_id, staff_id=made.staff_member.staff_id)

    async def sign_in(self, clinic_id: str, **person: str) -> Person:
        """`staff_id=...` or `profile_id=...`"""
        opened = await self.machine("OpenSession", clinic_id=clinic_id, **person)
        [(kind, id)] = person.items()
        side = kind.removesuffix("_id")
        return Person(self, clinic_id, id, side, opened.session.session_id)

    async def state(self, clinic_id: str, **subject: Any) -> Any:
        """The state of `staff_id=...`, `profile_id=...`, `session_id=...` or `clinic=True`."""
        response = await self.machine(
            "GetState", name="service:conversations", clinic_id=clinic_id, **subject
        )
        return getattr(response.state, response.state.WhichOneof("state"))

    def rows(self, query: str, *parameters: object) -> list[Any]:
        """What is in the tables, seen by the superuser."""
        with psycopg.connect(self.superuser) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def events_of(self, id: str) -> list[Any]:
        """The states published of something, in the order they were written."""
        rows = self.rows(
            "select type, payload from outbox where aggregate_id = %s order by id", UUID(id)
        )
        kinds: dict[str, Any] = {
            "clinic_state": events.ClinicState,
            "staff_state": events.StaffState,
            "profile_state": events.ProfileState,
            "session_state": events.SessionState,
        }
        return [kinds[type].FromString(payload) for type, payload in rows]

    def audited(self, clinic_id: str) -> list[tuple[str, str, str]]:
        """Action, outcome and reason of a clinic's audit records, in order."""
        return self.rows(
            "select action, outcome, reason from audit where clinic_id = %s order by id",
            UUID(clinic_id),
        )


@asynccontextmanager
async def directory_world(
    databases: ServiceDatabase, folder: Path
) -> AsyncIterator[DirectoryWorld]:
    async with AsyncExitStack() as stack:
        database = Database(databases.app, size=8, name="test")
        stack.push_async_callback(database.close)
        worker = Database(databases.worker, size=2, name="test worker")
        stack.push_async_callback(worker.close)
        storage = Storage(database, worker)
        conversations, notifications = StatedPeer(), StatedPeer()
        peers = Peers(conversations=conversations, notifications=notifications)
        tokens = PageTokens(SEALING_KEY)
        keys = Keys(folder, system_clock)
        for name in _MACHINES:
            keys.machines[name] = OKPKey.generate_key("Ed25519", {"kid": name})
        keys.write()
        doors = [
            registration(
                add_DirectoryServiceServicer_to_server, DirectoryServicer(storage, peers, tokens)
            ),
            registration(
                add_DirectoryInternalServiceServicer_to_server,
                DirectoryInternalServicer(storage, peers, tokens),
            ),
        ]
        on_denied = partial(note_denial, database)
        edge = await stack.enter_async_context(serving(keys, doors, on_denied=on_denied))
        yield DirectoryWorld(
            storage=storage,
            database=database,
            worker=worker,
            superuser=databases.superuser,
            keys=keys,
            channel=edge.channel,
            conversations=conversations,
            notifications=notifications,
        )
