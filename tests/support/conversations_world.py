"""Conversations in this process, on a real database and through a real channel.

The directory is what a test says it is: `StatedDirectory` answers the look-ups of the replica, and
`tell` applies a state as the directory's own call would.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
from sqlalchemy import text

from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.conversations.v1.conversations_service_pb2_grpc import (
    ConversationsServiceStub,
    add_ConversationsServiceServicer_to_server,
)
from clinic.conversations.v1.delivery_cause_pb2 import DeliveryCause
from clinic.notifications.v1.delivery_pb2 import Delivery
from services.chassis.clock import system_clock
from services.chassis.database import Database
from services.chassis.errors import Unavailable
from services.chassis.keys import DataKeys, FileKeyProvider
from services.chassis.limits import TokenBucket
from services.chassis.outbox import Sequencer
from services.chassis.paging import PageTokens
from services.chassis.server import registration
from services.conversations.api.servicer import ConversationsServicer
from services.conversations.domain.explaining import LedgerRow
from services.conversations.storage.tail import Tail
from services.conversations.storage.texts import Texts
from services.conversations.storage.unit_of_work import Storage
from services.conversations.usecases.send_message import SendLimits
from services.directory_replica.replica import Replica, id_of
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
from tests.support.eventually import eventually
from tests.support.grpc_world import Keys, bearer, serving
from tests.support.postgres import ServiceDatabase

_HEAD = text("""
select last_position, exists (select from outbox where position is null) as waiting
from outbox_head
""")
# One for all worlds of a run: they share a worker's database, and the keys that are wrapped there.
MASTER_KEY = base64.b64encode(bytes(range(32, 64))).decode()
SEALING_KEY = bytes(range(32))


class StatedDirectory:
    """The directory's current states, or its absence."""

    def __init__(self) -> None:
        self.states: dict[tuple[type[State], UUID, UUID], State] = {}
        self.duplicates: dict[UUID, list[UUID]] = {}
        self.reachable = True
        self.asked = 0

    def now_is(self, state: State) -> None:
        self.states[type(state), state.clinic_id, id_of(state)] = state

    async def get_state(self, clinic_id: UUID, kind: type[State], id: UUID) -> State | None:
        self.asked += 1
        if not self.reachable:
            raise Unavailable("The directory is out of reach")
        return self.states.get((kind, clinic_id, id))


@dataclass
class StatedWitnesses:
    """What a test lets notifications and the directory say of a delivery."""

    directory: StatedDirectory

    async def deliveries(
        self, clinic_id: UUID, conversation_id: UUID, sequence: int
    ) -> Sequence[LedgerRow]:
        if not self.directory.reachable:
            raise Unavailable("Notifications is out of reach")
        delivery = Delivery(conversation_id=str(conversation_id), sequence=sequence)
        return [LedgerRow(delivery.SerializeToString(), not_arriving=False)]

    async def likely_duplicates(self, clinic_id: UUID, profile_id: UUID) -> Sequence[UUID]:
        if not self.directory.reachable:
            raise Unavailable("The directory is out of reach")
        return self.directory.duplicates.get(profile_id, [])


@dataclass
class WatchedInbox:
    """A watch as a client sees it."""

    call: Any
    first: Any

    async def next(self, kind: str) -> Any:
        """The next item of a kind; others before it are passed over."""
        while True:
            item = await asyncio.wait_for(self.call.read(), 5)
            assert item is not grpc.aio.EOF, f"ended before {kind}"
            if item.WhichOneof("event") == kind:
                return item


@dataclass
class Person:
    """A staff member or a profile, signed in."""

    world: "ConversationsWorld"
    side: Side
    id: UUID
    clinic_id: UUID
    session_id: UUID

    @property
    def metadata(self) -> Any:
        return bearer(
            self.world.keys.person(
                acting=f"{self.side}:{self.id}",
                clinic_id=str(self.clinic_id),
                sid=str(self.session_id),
            )
        )

    def _stub(self) -> Any:
        return self.world.stub

    async def start(self, profile: "Person | UUID", *, request_id: UUID | None = None) -> Any:
        profile_id = profile.id if isinstance(profile, Person) else profile
        request = pb.StartConversationRequest(
            profile_id=str(profile_id), request_id=str(request_id or uuid4())
        )
        response = await self._stub().StartConversation(request, metadata=self.metadata)
        return response.conversation

    async def send(
        self, conversation_id: str, body: str = "hello", *, request_id: UUID | None = None
    ) -> Any:
        request = pb.SendMessageRequest(
            conversation_id=conversation_id, body=body, request_id=str(request_id or uuid4())
        )
        return (await self._stub().SendMessage(request, metadata=self.metadata)).message

    async def mark(self, conversation_id: str, up_to: int) -> int:
        request = pb.MarkConversationReadRequest(
            conversation_id=conversation_id, up_to_sequence=up_to
        )
        response = await self._stub().MarkConversationRead(request, metadata=self.metadata)
        unread: int = response.unread_count
        return unread

    async def delete(self, conversation_id: str, sequence: int) -> Any:
        request = pb.DeleteMessageRequest(
            conversation_id=conversation_id, sequence=sequence, request_id=str(uuid4())
        )
        return (await self._stub().DeleteMessage(request, metadata=self.metadata)).message

    async def messages(self, conversation_id: str, **options: Any) -> list[Any]:
        request = pb.ListMessagesRequest(
            conversation_id=conversation_id,
            order=pb.MESSAGE_ORDER_OLDEST_FIRST,
            **{"page_size": 200} | options,
        )
        response = await self._stub().ListMessages(request, metadata=self.metadata)
        return list(response.messages)

    async def get(self, conversation_id: str) -> Any:
        request = pb.GetConversationRequest(conversation_id=conversation_id)
        return (await self._stub().GetConversation(request, metadata=self.metadata)).conversation

    async def inbox(self, **options: Any) -> list[Any]:
        request = pb.ListConversationsRequest(**options)
        response = await self._stub().ListConversations(request, metadata=self.metadata)
        return list(response.conversations)

    async def badge(self) -> int:
        response = await self._stub().GetUnreadSummary(
            pb.GetUnreadSummaryRequest(), metadata=self.metadata
        )
        unread: int = response.unread_messages
        return unread

    async def causes(self, **request: Any) -> list[DeliveryCause]:
        response = await self._stub().ExplainDelivery(
            pb.ExplainDeliveryRequest(**request), metadata=self.metadata
        )
        return list(response.causes)

    async def explain(self, **request: Any) -> list[str]:
        """The kinds of the causes, in order."""
        kinds = DeliveryCause.Kind
        causes = await self.causes(**request)
        return [kinds.Name(cause.kind).removeprefix("KIND_") for cause in causes]

    @asynccontextmanager
    async def watch(self, resume_token: str = "") -> AsyncIterator[Any]:
        """An open watch whose first item, the position, has come; `next_of` reads it."""
        call = self._stub().WatchInbox(
            pb.WatchInboxRequest(resume_token=resume_token), metadata=self.metadata
        )
        try:
            yield WatchedInbox(call, await asyncio.wait_for(call.read(), 5))
        finally:
            call.cancel()

    async def resolve(self, conversation_id: str, profile_id: UUID) -> int:
        request = pb.ResolveLinkRequest(conversation_id=conversation_id, profile_id=str(profile_id))
        response = await self._stub().ResolveLink(request, metadata=self.metadata)
        outcome: int = response.outcome
        return outcome


@dataclass
class ConversationsWorld:
    """The service, and the people whom the directory knows."""

    data_keys: DataKeys
    storage: Storage
    replica: Replica
    directory: StatedDirectory
    database: Database
    keys: Keys
    stub: Any
    channel: grpc.aio.Channel
    worker: Database
    tail: Tail
    clinic_id: UUID = field(default_factory=uuid4)
    _versions: dict[UUID, int] = field(default_factory=dict)

    async def tell(self, state: State) -> State:
        """The directory changes, and conversations confirms that it knows."""
        stated = self.change(state)
        await self.replica.apply([stated])
        return stated

    def change(self, state: State) -> State:
        """The directory changes, and nobody has heard of it yet."""
        version = self._versions[id_of(state)] = self._versions.get(id_of(state), 0) + 1
        stated = replace(state, stamp=Version(incarnation="i1", version=version))
        self.directory.now_is(stated)
        return stated

    async def settle(self) -> None:
        """Every event so far has been numbered, and has passed the tail where somebody watches."""

        async def settled() -> bool:
            rows = await self.worker.connect(lambda c: c.execute(_HEAD))
            head = rows.one()
            passed = not self.tail.watched or head.last_position == self.tail.at.number
            return passed and not head.waiting

        await eventually(settled)

    async def clinic(self, *, allowed: bool = True, clinic_id: UUID | None = None) -> UUID:
        clinic_id = clinic_id or self.clinic_id
        await self.tell(a_clinic(clinic_id, allowed=allowed))
        return clinic_id

    async def staff(self, *, clinic_id: UUID | None = None) -> Person:
        state = a_staff_member(clinic_id or self.clinic_id)
        await self.tell(state)
        return await self.sign_in(Side.STAFF, state.staff_id, state.clinic_id)

    async def profile(self, *, clinic_id: UUID | None = None, **facts: Any) -> Person:
        state = a_profile(clinic_id or self.clinic_id, **facts)
        await self.tell(state)
        return await self.sign_in(Side.PROFILE, state.profile_id, state.clinic_id)

    async def sign_in(self, side: Side, id: UUID, clinic_id: UUID) -> Person:
        session = a_session(clinic_id, side, id)
        await self.tell(session)
        return Person(self, side, id, clinic_id, session.session_id)

    def state_of(self, person: Person) -> Any:
        kind = StaffState if person.side is Side.STAFF else ProfileState
        return self.directory.states[kind, person.clinic_id, person.id]

    async def update(self, person: Person, **changes: Any) -> None:
        await self.tell(replace(self.state_of(person), **changes))

    async def end_session(self, person: Person) -> None:
        session = self.directory.states[SessionState, person.clinic_id, person.session_id]
        assert isinstance(session, SessionState)
        await self.tell(replace(session, ended_at=datetime.now(UTC), end_cause=EndCause.LOGOUT))

    async def merge(self, secondary: Person, into: Person) -> UUID:
        merge_id = uuid4()
        await self.update(secondary, merged_into=into.id, merge_id=merge_id)
        return merge_id

    async def unmerge(self, secondary: Person) -> None:
        await self.update(secondary, merged_into=None, merge_id=None)

    async def deactivate(self, person: Person) -> None:
        await self.update(person, active=False, deactivation_id=uuid4())

    async def reactivate(self, person: Person) -> None:
        await self.update(person, active=True, deactivation_id=None)


_STAMP = Version(incarnation="i1", version=1)


def a_clinic(clinic_id: UUID, *, allowed: bool = True) -> ClinicState:
    return ClinicState(
        clinic_id=clinic_id,
        stamp=_STAMP,
        details_version=1,
        messaging_allowed=allowed,
        mail_hold=timedelta(0),
        away_after=None,
    )


def a_staff_member(clinic_id: UUID, **facts: Any) -> StaffState:
    given: dict[str, Any] = {
        "clinic_id": clinic_id,
        "staff_id": uuid4(),
        "stamp": _STAMP,
        "details_version": 1,
        "active": True,
        "deactivation_id": None,
        "opted_in_at": None,
        "account_owner": False,
    }
    return StaffState(**given | facts)


def a_profile(clinic_id: UUID, **facts: Any) -> ProfileState:
    given: dict[str, Any] = {
        "clinic_id": clinic_id,
        "profile_id": uuid4(),
        "stamp": _STAMP,
        "details_version": 1,
        "override": Override.INHERIT,
        "merged_into": None,
        "merge_id": None,
        "do_not_email": False,
    }
    return ProfileState(**given | facts)


def a_session(clinic_id: UUID, side: Side, person_id: UUID) -> SessionState:
    now = datetime.now(UTC)
    return SessionState(
        clinic_id=clinic_id,
        session_id=uuid4(),
        stamp=_STAMP,
        side=side,
        person_id=person_id,
        opened_at=now,
        last_activity_at=now,
        ended_at=None,
        end_cause=None,
    )


@asynccontextmanager
async def conversations_world(
    databases: ServiceDatabase, folder: Path, *, provider: FileKeyProvider | None = None
) -> AsyncIterator[ConversationsWorld]:
    """One process of the service. Several may share a database, each with caches of its own."""
    master_key = folder / "master.key"
    master_key.write_text(MASTER_KEY)
    async with AsyncExitStack() as stack:
        database = Database(databases.app, size=8, name="test")
        stack.push_async_callback(database.close)
        directory = StatedDirectory()
        replica = Replica(database, directory, applied=lambda: None)
        keys = DataKeys(provider or FileKeyProvider(master_key), database, system_clock)
        worker = Database(databases.worker, size=4, name="test worker")
        stack.push_async_callback(worker.close)
        await keys.check(worker)
        tail = Tail(worker)
        sequencer = Sequencer(worker, positioned=tail.positioned.set, noticed=tail.positioned.set)
        running = [asyncio.create_task(task()) for task in (sequencer.run, tail.run, tail.revoke)]
        stack.callback(lambda: [task.cancel() for task in running])

        database.on_events.append(sequencer.committed.set)
        storage = Storage(database, replica, Texts(keys, SEALING_KEY))
        plenty = TokenBucket(rate=1e6, burst=1e6, clock=system_clock)
        servicer = ConversationsServicer(
            storage,
            tail,
            StatedWitnesses(directory),
            SendLimits(plenty, plenty),
            PageTokens(SEALING_KEY),
        )
        signing = Keys(folder, system_clock)
        edge = await stack.enter_async_context(
            serving(signing, [registration(add_ConversationsServiceServicer_to_server, servicer)])
        )
        yield ConversationsWorld(
            data_keys=keys,
            storage=storage,
            replica=replica,
            directory=directory,
            database=database,
            keys=signing,
            stub=ConversationsServiceStub(edge.channel),
            channel=edge.channel,
            worker=worker,
            tail=tail,
        )
