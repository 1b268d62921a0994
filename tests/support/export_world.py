"""Export in this process, on a real database; the other services are servers of the test's own.

What conversations and the directory say is what a test tells them to; they say it over a real
channel and as their contracts have it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from clinic.conversations.v1 import conversations_internal_service_pb2 as conversations_pb
from clinic.conversations.v1 import message_pb2
from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    ConversationsInternalServiceServicer,
    add_ConversationsInternalServiceServicer_to_server,
)
from clinic.directory.v1 import directory_internal_service_pb2 as directory_pb
from clinic.directory.v1.directory_internal_service_pb2_grpc import (
    DirectoryInternalServiceServicer,
    add_DirectoryInternalServiceServicer_to_server,
)
from clinic.export.v1 import export_internal_service_pb2 as pb
from clinic.export.v1 import export_pb2
from clinic.export.v1.export_internal_service_pb2_grpc import (
    ExportInternalServiceStub,
    add_ExportInternalServiceServicer_to_server,
)
from clinic.export.v1.export_service_pb2_grpc import (
    ExportServiceStub,
    add_ExportServiceServicer_to_server,
)
from services.chassis.audit import note_denial
from services.chassis.client import Peer, Signer
from services.chassis.clock import system_clock
from services.chassis.database import Database
from services.chassis.errors import Unavailable
from services.chassis.ids import uuid7
from services.chassis.paging import PageTokens
from services.chassis.server import registration
from services.directory_replica.directory import DirectoryClient
from services.directory_replica.replica import Replica, id_of
from services.directory_replica.states import StaffState, State, Version
from services.export.api.internal_servicer import ExportInternalServicer
from services.export.api.servicer import ExportServicer
from services.export.clients.conversations import Conversations
from services.export.clients.directory import Directory
from services.export.formats.shelf import Shelf
from services.export.formats.signing import manifest_signer
from services.export.storage.jobs import Jobs
from services.export.storage.unit_of_work import Storage
from services.export.usecases.build_export import Pace, Workshop, build_next
from services.export_format.signature import Keys as PublicKeys
from services.export_format.signature import read_keys
from services.messaging_rule import Side
from tests.support.conversations_world import (
    SEALING_KEY,
    StatedDirectory,
    a_clinic,
    a_session,
    a_staff_member,
)
from tests.support.grpc_world import AUDIENCE, Keys, bearer, serving
from tests.support.postgres import ServiceDatabase

CUTOFF = timedelta(minutes=6)
# Long enough ago for every cut-off of a test.
BEFORE = datetime.now(UTC) - timedelta(days=30)

_SIDES = {Side.STAFF: message_pb2.SIDE_STAFF, Side.PROFILE: message_pb2.SIDE_PROFILE}
# Threads come in the order in which a test makes them.
_FIRST_THREAD = uuid7().int
_numbers = count()
_Response = conversations_pb.StreamMessagesResponse


class Details(DirectoryInternalServiceServicer):
    """The directory's names and addresses, by id."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.addresses: dict[str, str] = {}

    async def BatchGetDetails(
        self, request: directory_pb.BatchGetDetailsRequest, context: Any
    ) -> directory_pb.BatchGetDetailsResponse:
        kind = directory_pb.BatchGetDetailsResponse
        return kind(
            staff_details=[
                kind.StaffDetails(
                    staff_id=id, display_name=self.names[id], email=self.addresses.get(id, "")
                )
                for id in request.staff_ids
                if id in self.names
            ],
            profile_details=[
                kind.ProfileDetails(profile_id=id, display_name=self.names[id])
                for id in request.profile_ids
                if id in self.names
            ],
        )


@dataclass
class Thread:
    """A conversation as conversations would tell it."""

    staff_id: UUID
    profile_id: UUID = field(default_factory=uuid4)
    id: UUID = field(default_factory=lambda: UUID(int=_FIRST_THREAD + next(_numbers)))
    periods: list[_Response.ArchivePeriod] = field(default_factory=list)
    messages: list[message_pb2.Message] = field(default_factory=list)

    def say(
        self,
        body: str | None,
        *,
        by: Side = Side.STAFF,
        at: datetime = BEFORE,
        read_at: datetime | None = None,
    ) -> None:
        """A message, or a tombstone where there is no body."""
        self.messages.append(
            message_pb2.Message(
                message_id=str(uuid4()),
                conversation_id=str(self.id),
                sequence=len(self.messages) + 1,
                sender_side=_SIDES[by],
                body=body or "",
                send_time=at,
                delete_time=None if body is not None else at + timedelta(minutes=1),
                read_time=read_at,
            )
        )

    def archive(self, cause: str, since: datetime, until: datetime | None = None) -> None:
        period = _Response.ArchivePeriod(
            cause=f"ARCHIVE_CAUSE_{cause}",
            cause_id=str(uuid4()),
            start_time=since,
            end_time=until,
        )
        self.periods.append(period)

    def header(self) -> _Response:
        return _Response(
            conversation=_Response.Header(
                conversation_id=str(self.id),
                staff_id=str(self.staff_id),
                profile_id=str(self.profile_id),
                create_time=BEFORE,
                archive_periods=self.periods,
            )
        )


class Threads(ConversationsInternalServiceServicer):
    """What conversations tells export. A stream can break, or be held, after so many items."""

    def __init__(self) -> None:
        self.all: list[Thread] = []
        self.asked: list[conversations_pb.StreamMessagesRequest] = []
        self.breaks_after: int | None = None
        self.holds_after: int | None = None
        self.held = asyncio.Event()
        self.let_go = asyncio.Event()

    async def StreamMessages(
        self, request: conversations_pb.StreamMessagesRequest, context: Any
    ) -> AsyncIterator[_Response]:
        self.asked.append(request)
        for number, item in enumerate(self._items(request)):
            if number == self.breaks_after:
                raise Unavailable("cut by the test")
            if number == self.holds_after:
                self.held.set()
                await self.let_go.wait()
            yield item

    def _items(self, request: conversations_pb.StreamMessagesRequest) -> Sequence[_Response]:
        items = []
        for thread in sorted(self.all, key=lambda thread: thread.id):
            if str(thread.staff_id) != request.staff_id:
                continue
            if str(thread.id) < request.resume_conversation_id:
                continue
            resumed = str(thread.id) == request.resume_conversation_id
            after = request.resume_sequence if resumed else 0
            items.append(thread.header())
            items += [
                _Response(message=message)
                for message in thread.messages
                if message.sequence > after
                and message.send_time.ToDatetime(tzinfo=UTC)
                <= request.cutoff_time.ToDatetime(tzinfo=UTC)
            ]
        return items


@dataclass(frozen=True)
class StaffMember:
    id: UUID
    metadata: Any


@dataclass
class ExportWorld:
    """The service, one clinic, and whom the directory knows there."""

    database: Database
    replica: Replica
    directory: StatedDirectory
    details: Details
    threads: Threads
    workshop: Workshop
    databases: ServiceDatabase
    keys: Keys
    public_keys: PublicKeys
    public: Any
    internal: Any
    folder: Path
    clinic_id: UUID = field(default_factory=uuid4)
    _versions: dict[UUID, int] = field(default_factory=dict)

    # The directory.

    async def tell(self, state: State) -> State:
        """The directory changes, and the replica holds it."""
        stated = self.change(state)
        await self.replica.apply([stated])
        return stated

    def change(self, state: State) -> State:
        """The directory changes, and nobody has heard of it yet."""
        version = self._versions[id_of(state)] = self._versions.get(id_of(state), 0) + 1
        stated = replace(state, stamp=Version(incarnation="i1", version=version))
        self.directory.now_is(stated)
        return stated

    async def clinic(self) -> None:
        await self.tell(a_clinic(self.clinic_id))

    async def staff(
        self, *, name: str = "Dr Finch", address: str = "", **facts: Any
    ) -> StaffMember:
        """Signed in."""
        state = await self.tell(a_staff_member(self.clinic_id, **facts))
        staff_id = id_of(state)
        self.details.names[str(staff_id)] = name
        self.details.addresses[str(staff_id)] = address
        session = a_session(self.clinic_id, Side.STAFF, staff_id)
        await self.tell(session)
        token = self.keys.person(
            acting=f"staff:{staff_id}",
            clinic_id=str(self.clinic_id),
            sid=str(session.session_id),
        )
        return StaffMember(staff_id, bearer(token))

    async def owner(self, *, address: str = "owner@clinic.test") -> StaffMember:
        return await self.staff(name="Olive Owner", address=address, account_owner=True)

    def state_of(self, staff: StaffMember) -> StaffState:
        state = self.directory.states[StaffState, self.clinic_id, staff.id]
        assert isinstance(state, StaffState)
        return state

    # Conversations.

    def thread(self, staff: StaffMember, *, name: str = "Pat Patient") -> Thread:
        thread = Thread(staff.id)
        self.details.names[str(thread.profile_id)] = name
        self.threads.all.append(thread)
        return thread

    # Export.

    @property
    def ops(self) -> Any:
        return bearer(self.keys.machine("ops:support"), clinic_id=str(self.clinic_id))

    async def create(
        self, staff: StaffMember | UUID, *, address: str = "owner@clinic.test", **fields: Any
    ) -> export_pb2.Export:
        staff_id = staff if isinstance(staff, UUID) else staff.id
        request = pb.CreateExportRequest(
            staff_id=str(staff_id),
            requester_address=address,
            **{"request_id": str(uuid4())} | fields,
        )
        response = await self.internal.CreateExport(request, metadata=self.ops)
        export: export_pb2.Export = response.export
        return export

    async def get(self, export: export_pb2.Export) -> export_pb2.Export:
        request = pb.GetExportRequest(export_id=export.export_id)
        response = await self.internal.GetExport(request, metadata=self.ops)
        found: export_pb2.Export = response.export
        return found

    async def state(self, export: export_pb2.Export) -> str:
        state = (await self.get(export)).state
        return export_pb2.ExportState.Name(state).removeprefix("EXPORT_STATE_")

    async def cancel(self, export: export_pb2.Export, **fields: Any) -> export_pb2.Export:
        request = pb.CancelExportRequest(
            export_id=export.export_id, **{"request_id": str(uuid4())} | fields
        )
        response = await self.internal.CancelExport(request, metadata=self.ops)
        cancelled: export_pb2.Export = response.export
        return cancelled

    async def download(self, export: export_pb2.Export) -> dict[str, bytes]:
        request = pb.DownloadExportRequest(export_id=export.export_id)
        files: dict[str, bytes] = {}
        async for part in self.internal.DownloadExport(request, metadata=self.ops):
            files[part.file_name] = files.get(part.file_name, b"") + part.chunk
        return files

    async def build(self) -> bool:
        """One attempt at what is due."""
        return await build_next(self.workshop)

    async def built(self, staff: StaffMember) -> export_pb2.Export:
        export = await self.create(staff)
        await self.build()
        assert await self.state(export) == "READY"
        return export

    def path(self, export: export_pb2.Export) -> Path:
        return self.folder / export.export_id

    def files(self, export: export_pb2.Export) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.path(export).iterdir()}

    def lines(self, export: export_pb2.Export, name: str) -> list[Any]:
        content = (self.path(export) / name).read_bytes()
        return [json.loads(line) for line in content.splitlines()]

    def due(self) -> None:
        """As if every lease and pause were over."""
        self.execute("update exports set due_at = clock_timestamp() - interval '1 second'")

    def begin_again(self, export: export_pb2.Export) -> None:
        """The same job once more, as if its files had never been written."""
        self.execute(
            "update exports set state = 'APPROVED', expires_at = null, checkpoint = null,"
            " lease_id = null, conversations = 0, messages = 0, due_at = clock_timestamp()"
            " where id = %(id)s",
            id=export.export_id,
        )
        self.workshop.shelf.remove(UUID(export.export_id))

    def audit(self) -> list[tuple[str, str, str]]:
        """Action, outcome and reason of every record, the oldest first."""
        query = "select action, outcome, reason from audit where clinic_id = %(clinic)s order by id"
        return [(row["action"], row["outcome"], row["reason"]) for row in self.execute(query)]

    def execute(self, query: str, **parameters: Any) -> list[Any]:
        row = psycopg.rows.dict_row
        with psycopg.connect(self.databases.superuser, row_factory=row) as connection:
            cursor = connection.execute(query, {"clinic": self.clinic_id} | parameters)
            return cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def export_world(databases: ServiceDatabase, folder: Path) -> AsyncIterator[ExportWorld]:
    keys = Keys(folder, system_clock)
    own = folder / "own.jwk"
    own.write_text(json.dumps(keys.machines["service:export"].as_dict(private=True)))
    async with AsyncExitStack() as stack:
        app = Database(databases.app, size=8, name="test")
        worker = Database(databases.worker, size=4, name="test worker")
        stack.push_async_callback(app.close)
        stack.push_async_callback(worker.close)
        stated, details, threads = StatedDirectory(), Details(), Threads()  # type: ignore[abstract]
        peers = await stack.enter_async_context(
            serving(
                keys,
                [
                    registration(add_DirectoryInternalServiceServicer_to_server, details),
                    registration(add_ConversationsInternalServiceServicer_to_server, threads),
                ],
            )
        )
        signer = Signer(own, audience=AUDIENCE)
        directory = Directory(DirectoryClient(peers.channel, Peer("directory", signer=signer)))
        replica = Replica(app, stated, applied=lambda: None)
        storage = Storage(app, replica, sealing_key=SEALING_KEY, committed=lambda: None)
        shelf = Shelf(folder / "exports")
        workshop = Workshop(
            jobs=Jobs(app, worker),
            conversations=Conversations(peers.channel, Peer("conversations", signer=signer)),
            directory=directory,
            shelf=shelf,
            signer=manifest_signer(own),
            pace=Pace(items=3),
        )
        tokens = PageTokens(SEALING_KEY)
        ops = ExportInternalServicer(storage, directory, shelf, tokens, cutoff=CUTOFF)
        edge = await stack.enter_async_context(
            serving(
                keys,
                [
                    registration(
                        add_ExportServiceServicer_to_server, ExportServicer(storage, tokens)
                    ),
                    registration(add_ExportInternalServiceServicer_to_server, ops),
                ],
                on_denied=partial(note_denial, app),
            )
        )
        yield ExportWorld(
            database=app,
            replica=replica,
            directory=stated,
            details=details,
            threads=threads,
            workshop=workshop,
            databases=databases,
            keys=keys,
            public_keys=read_keys(keys.callers_jwks.read_bytes()),
            public=ExportServiceStub(edge.channel),
            internal=ExportInternalServiceStub(edge.channel),
            folder=folder / "exports",
        )
