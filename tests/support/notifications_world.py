"""Notifications in this process, on a real database, with a real mail server of the test's own.

The facts of conversations and the states of the directory are what a test says; addresses are
asked for over a real channel. Time passes where a test says so.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from google.protobuf.message import Message as ProtobufMessage
from joserfc.jwk import OKPKey

from clinic.conversations.v1 import conversations_events_pb2 as facts
from clinic.conversations.v1 import message_pb2
from clinic.directory.v1 import directory_internal_service_pb2 as directory_pb
from clinic.directory.v1 import staff_member_pb2
from clinic.directory.v1.directory_internal_service_pb2_grpc import (
    DirectoryInternalServiceServicer,
    add_DirectoryInternalServiceServicer_to_server,
)
from clinic.notifications.v1.notifications_internal_service_pb2_grpc import (
    NotificationsInternalServiceStub,
    add_NotificationsInternalServiceServicer_to_server,
)
from clinic.notifications.v1.notifications_service_pb2_grpc import (
    NotificationsServiceStub,
    add_NotificationsServiceServicer_to_server,
)
from deploy.local.mailbox.faults import Fault, Faults
from deploy.local.mailbox.smtp import Door, protocol
from deploy.local.mailbox.store import Mail, Mailbox
from services.chassis.client import Peer, Signer
from services.chassis.clock import system_clock
from services.chassis.database import Database
from services.chassis.errors import Unavailable
from services.chassis.inbox import NotAllHandled
from services.chassis.outbox import Event
from services.chassis.paging import PageTokens
from services.chassis.server import registration
from services.directory_replica.directory import DirectoryClient
from services.directory_replica.feed import apply_messages
from services.directory_replica.replica import Replica, id_of
from services.directory_replica.states import EndCause, SessionState, State, Version
from services.messaging_rule import Side
from services.notifications.api.internal_servicer import NotificationsInternalServicer
from services.notifications.api.servicer import NotificationsServicer
from services.notifications.app import code_works
from services.notifications.channels.prints import AddressPrints
from services.notifications.channels.push import PushChannel
from services.notifications.channels.push_tokens import PushTokens
from services.notifications.channels.rendering import Composer
from services.notifications.channels.return_paths import ReturnPaths
from services.notifications.channels.smtp import SmtpChannel, SmtpServer
from services.notifications.channels.unsubscribe import UnsubscribeTokens
from services.notifications.clients.directory import Directory
from services.notifications.consumers.conversations_events import handler
from services.notifications.domain.delivery import Channel
from services.notifications.domain.device import Platform
from services.notifications.domain.mail import Contents
from services.notifications.storage.due import ChangedRecipient, Due, DueDispatch
from services.notifications.storage.lost_devices import LostDevices
from services.notifications.storage.unit_of_work import Storage
from services.notifications.usecases.begin_transmission import BeginTransmission
from services.notifications.usecases.claim_dispatch import ClaimDispatch
from services.notifications.usecases.dispatch_mail import MailWorks, dispatch_mail
from services.notifications.usecases.reconsider_recipient import (
    ReconsiderRecipient,
    reconsider_recipients,
)
from services.notifications.usecases.register_device import register_device
from services.notifications.usecases.rounds import rounds_of
from tests.support.conversations_world import (
    SEALING_KEY,
    StatedDirectory,
    a_clinic,
    a_profile,
    a_session,
    a_staff_member,
)
from tests.support.grpc_world import AUDIENCE, Keys, bearer, serving
from tests.support.postgres import ServiceDatabase
from tests.support.push_sink import PushSink, push_sink

SENDER = "messages@clinic.test"
PORTAL = "https://portal.test/clinic"
PUBLIC_URL = "https://notify.test"
RETURN_PATHS = ReturnPaths(SEALING_KEY, domain="clinic.test")
LONG = timedelta(hours=1)

_SIDES = {Side.STAFF: message_pb2.SIDE_STAFF, Side.PROFILE: message_pb2.SIDE_PROFILE}


class Details(DirectoryInternalServiceServicer):
    """The directory's names and addresses, and whose preference was unticked."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self.cleared: list[directory_pb.ClearNotificationPreferenceRequest] = []
        self.ticked_since = False
        self.sender_name = "Harbour Clinic"
        self.portal = PORTAL
        self.reachable = True

    async def BatchGetDetails(
        self, request: directory_pb.BatchGetDetailsRequest, context: Any
    ) -> directory_pb.BatchGetDetailsResponse:
        self._check_reachable()
        kind = directory_pb.BatchGetDetailsResponse
        return kind(
            clinic_details=kind.ClinicDetails(
                name=self.sender_name, sender_name=self.sender_name, portal_link_base=self.portal
            ),
            staff_details=[
                kind.StaffDetails(staff_id=id, display_name="CANARY", email=self.addresses[id])
                for id in request.staff_ids
            ],
            profile_details=[
                kind.ProfileDetails(profile_id=id, display_name="CANARY", email=self.addresses[id])
                for id in request.profile_ids
            ],
        )

    async def ClearNotificationPreference(
        self, request: directory_pb.ClearNotificationPreferenceRequest, context: Any
    ) -> directory_pb.ClearNotificationPreferenceResponse:
        self._check_reachable()
        self.cleared.append(request)
        return directory_pb.ClearNotificationPreferenceResponse(
            staff_member=staff_member_pb2.StaffMember(mail_opted_in=self.ticked_since)
        )

    def _check_reachable(self) -> None:
        if not self.reachable:
            raise Unavailable("The directory is out of reach")


@dataclass(frozen=True)
class Sent:
    """A message that conversations has told of, and the event that told it."""

    thread: "Thread"
    id: UUID
    sequence: int
    sender: Side
    at: datetime
    event: Event


@dataclass
class Thread:
    """A conversation of one staff member and one profile."""

    world: "NotificationsWorld"
    staff_id: UUID
    profile_id: UUID
    id: UUID = field(default_factory=uuid4)
    last_sequence: int = 0

    def message(self, sender: Side = Side.STAFF, *, at: datetime | None = None) -> Sent:
        """The next message; nobody has heard of it yet."""
        self.last_sequence += 1
        id, sequence, at = uuid4(), self.last_sequence, at or datetime.now(UTC)
        payload = facts.MessageSent(
            **self._ids(),
            message_id=str(id),
            sequence=sequence,
            sender_side=_SIDES[sender],
            send_time=at,
        )
        return Sent(self, id, sequence, sender, at, self.event("message_sent", payload))

    async def send(self, sender: Side = Side.STAFF, *, at: datetime | None = None) -> Sent:
        sent = self.message(sender, at=at)
        await self.world.take(sent.event)
        return sent

    def deletion(self, sent: Sent) -> Event:
        payload = facts.MessageDeleted(
            **self._ids(),
            message_id=str(sent.id),
            sequence=sent.sequence,
            sender_side=_SIDES[sent.sender],
            delete_time=datetime.now(UTC),
        )
        return self.event("message_deleted", payload)

    def reading(self, side: Side, up_to: int) -> Event:
        payload = facts.ConversationRead(
            **self._ids(), side=_SIDES[side], up_to_sequence=up_to, read_time=datetime.now(UTC)
        )
        return self.event("conversation_read", payload)

    def event(self, type: str, payload: ProtobufMessage) -> Event:
        return Event(
            event_id=uuid4(),
            clinic_id=self.world.clinic_id,
            source="conversations",
            kind="fact",
            type=type,
            aggregate_id=self.id,
            position=1,
            incarnation="i1",
            occurred_at=datetime.now(UTC),
            trace="",
            payload=payload.SerializeToString(),
        )

    def _ids(self) -> dict[str, str]:
        return {
            "clinic_id": str(self.world.clinic_id),
            "conversation_id": str(self.id),
            "staff_id": str(self.staff_id),
            "profile_id": str(self.profile_id),
        }


@dataclass
class NotificationsWorld:
    """The service, one clinic, and whom the directory knows there."""

    app: Database
    worker: Database
    storage: Storage
    replica: Replica
    directory: StatedDirectory
    details: Details
    works: MailWorks
    due: Due
    mailbox: Mailbox
    faults: Faults
    databases: ServiceDatabase
    sink: PushSink
    push: PushChannel
    keys: Keys
    tokens: UnsubscribeTokens
    public: Any
    internal: Any
    clinic_id: UUID = field(default_factory=uuid4)
    incarnation: str = "i1"
    _versions: dict[UUID, int] = field(default_factory=dict)

    async def tell(self, state: State) -> State:
        """The directory changes, and the replica holds it."""
        stated = self.change(state)
        await self.replica.apply([stated])
        return stated

    def change(self, state: State) -> State:
        """The directory changes, and nobody has heard of it yet."""
        version = self._versions[id_of(state)] = self._versions.get(id_of(state), 0) + 1
        stated = replace(state, stamp=Version(incarnation=self.incarnation, version=version))
        self.directory.now_is(stated)
        return stated

    def directory_restored(self) -> None:
        """To one version ago of everything, under a new incarnation."""
        self.incarnation = f"{self.incarnation}+"
        for id, version in self._versions.items():
            self._versions[id] = version - 1

    async def clinic(self, *, hold: timedelta = timedelta(0), **facts: Any) -> None:
        await self.tell(replace(a_clinic(self.clinic_id), mail_hold=hold, **facts))

    async def staff(self, *, address: str | None = None, **facts: Any) -> UUID:
        state = await self.tell(a_staff_member(self.clinic_id, **facts))
        return self._with_address(id_of(state), address)

    async def opted_in(self) -> UUID:
        """A staff member who wants mail, and is not signed in."""
        return await self.staff(opted_in_at=datetime.now(UTC) - timedelta(days=1))

    async def profile(self, *, address: str | None = None, **facts: Any) -> UUID:
        state = await self.tell(a_profile(self.clinic_id, **facts))
        return self._with_address(id_of(state), address)

    def unheard_profile(self) -> UUID:
        """Somebody whom the directory knows and the replica does not hold yet."""
        return self._with_address(id_of(self.change(a_profile(self.clinic_id))), None)

    async def thread(self) -> Thread:
        """With a staff member who wants mail and a patient."""
        return Thread(self, await self.opted_in(), await self.profile())

    async def update(self, kind: type[State], id: UUID, **changes: Any) -> None:
        await self.tell(replace(self.directory.states[kind, self.clinic_id, id], **changes))

    async def session(self, staff_id: UUID, *, opened_at: datetime, **facts: Any) -> UUID:
        state = a_session(self.clinic_id, Side.STAFF, staff_id)
        times = {"opened_at": opened_at, "last_activity_at": opened_at} | facts
        await self.tell(replace(state, **times))
        return state.session_id

    async def patient_session(self, profile_id: UUID, **facts: Any) -> Any:
        """The metadata of a signed-in patient's calls."""
        state = replace(a_session(self.clinic_id, Side.PROFILE, profile_id), **facts)
        await self.tell(state)
        claims = {"clinic_id": str(self.clinic_id), "sid": str(state.session_id)}
        return bearer(self.keys.person(acting=f"profile:{profile_id}", **claims))

    async def end(self, session_id: UUID, *, at: datetime, cause: EndCause) -> None:
        await self.update(SessionState, session_id, ended_at=at, end_cause=cause)

    def address_of(self, id: UUID) -> str:
        return self.details.addresses[str(id)]

    def _with_address(self, id: UUID, address: str | None) -> UUID:
        self.details.addresses[str(id)] = f"{id}@mail.test" if address is None else address
        return id

    async def take(self, *events: Event) -> None:
        """Conversations' facts arrive, from either road."""
        try:
            await handler(self.storage)(events)
        except NotAllHandled as some:
            raise next(iter(some.failures.values())) from some

    async def dispatch_due(self) -> None:
        """What a copy of the service does when it looks at the clock."""
        for found in await self.found_due():
            await dispatch_mail(claim_of(found), works=self.works)

    async def found_due(self, channel: Channel = Channel.EMAIL) -> Sequence[DueDispatch]:
        found = await self.due.dispatches(channel, besides=[], most=1_000)
        return [each for each in found if each.clinic_id == self.clinic_id]

    async def claim(self, found: DueDispatch) -> Any:
        return await self.works.rounds.claim(claim_of(found))

    async def begin(self, claim: Any) -> Contents | None:
        return await self.works.rounds.begin(BeginTransmission(claim))

    async def reconsider(self) -> None:
        """What a copy of the service does when states have changed."""
        commands = [
            ReconsiderRecipient(clinic_id=self.clinic_id, recipient=changed.recipient)
            for changed in await self.changed()
        ]
        if commands:
            await self.storage.act_on_all(reconsider_recipients, commands)

    async def changed(self) -> Sequence[ChangedRecipient]:
        found = await self.due.changed_recipients(most=1_000)
        return [each for each in found if each.clinic_id == self.clinic_id]

    def let_pass(self, time: timedelta = LONG) -> None:
        """As if this much time had gone by for everything that waits."""
        self._execute(
            "update deliveries set due_at = due_at - %(time)s,"
            " leased_until = leased_until - %(time)s, decided_at = decided_at - %(time)s"
            " where clinic_id = %(clinic)s and state in ('HELD', 'CLAIMED', 'TRANSMITTING')",
            time=time,
        )

    def decided_long_ago(self, sent: Sent, time: timedelta) -> None:
        """As if the message had been decided on this much earlier."""
        self._execute(
            "update deliveries set decided_at = decided_at - %(time)s where message_id = %(id)s",
            time=time,
            id=sent.id,
        )

    def forget_claims(self) -> None:
        """As they are two weeks after they were made."""
        self._execute("delete from inbox where clinic_id = %(clinic)s")

    def forget_other_clinics(self) -> None:
        """What earlier tests left waiting, where a test looks across clinics."""
        self._execute("delete from deliveries where clinic_id <> %(clinic)s")

    def clear_ledger(self) -> None:
        """As if nothing had been heard of this clinic's messages."""
        for table in ("deliveries", "inbox", "read_positions", "deleted_messages"):
            self._execute(f"delete from {table} where clinic_id = %(clinic)s")

    def has_device(self, id: UUID, profile_id: UUID, *, age: timedelta) -> None:
        """As a registration would leave it."""
        print = secrets.token_bytes(32)
        self._execute(
            "insert into devices (clinic_id, id, profile_id, session_id, platform, registered_at,"
            " token_print, sealed_token)"
            " values (%(clinic)s, %(id)s, %(profile)s, %(session)s, 'FCM', now() - %(age)s,"
            " %(print)s, '')",
            id=id,
            profile=profile_id,
            session=uuid4(),
            age=age,
            print=print,
        )
        self._execute(
            "insert into push_tokens (token_print, device_id) values (%(print)s, %(id)s)",
            print=print,
            id=id,
        )

    async def sweep_devices(self) -> None:
        """What a copy of the service does once an hour."""
        await LostDevices(self.worker).sweep()

    def rows(
        self, sent: Sent | None = None, *, channel: Channel | None = Channel.EMAIL
    ) -> list[Any]:
        """The ledger, in order of sequence; of one channel or of all."""
        query = "select * from deliveries where clinic_id = %(clinic)s"
        query += "" if sent is None else " and message_id = %(message)s"
        query += "" if channel is None else " and channel = %(channel)s"
        named = {"message": None if sent is None else sent.id, "channel": channel}
        return self._execute(f"{query} order by conversation_id, sequence", **named)

    def outcome(self, sent: Sent, channel: Channel = Channel.EMAIL) -> str:
        """`STATE` or `STATE(REASON)` of the row of a message."""
        (row,) = self.rows(sent, channel=channel)
        return row["state"] if row["reason"] is None else f"{row['state']}({row['reason']})"

    def told(self, sent: Sent) -> int:
        """How many facts of ours tell of this message's deliveries."""
        query = "select count(*) as n from outbox where aggregate_id = any(%(ids)s)"
        ids = [row["id"] for row in self.rows(sent)]
        count: int = self._execute(query, ids=ids)[0]["n"]
        return count

    def replica_forgets_profiles(self) -> None:
        """As if they had not been heard of yet."""
        self._execute("delete from replica_profiles where clinic_id = %(clinic)s")

    def audited(self) -> list[tuple[str, str]]:
        """Who did what in the clinic, the first first."""
        query = "select actor, action from audit where clinic_id = %(clinic)s order by id"
        return [(row["actor"], row["action"]) for row in self._execute(query)]

    def _execute(self, query: str, **parameters: Any) -> list[Any]:
        row = psycopg.rows.dict_row
        with psycopg.connect(self.databases.superuser, row_factory=row) as connection:
            cursor = connection.execute(query, {"clinic": self.clinic_id} | parameters)
            return cursor.fetchall() if cursor.description else []

    def mails(self, person_id: UUID) -> list[Mail]:
        """Those that came for a person, the oldest first."""
        return self.mailbox.list(to=self.address_of(person_id))[::-1]

    def everything_stored(self) -> str:
        """All rows of all tables, as text."""
        query = "select table_name from information_schema.tables where table_schema = 'public'"
        names = [row["table_name"] for row in self._execute(query)]
        return repr([self._execute(f'select t::text from "{name}" as t') for name in names])

    @contextmanager
    def mail_server_gone(self) -> Iterator[None]:
        works, nobody = self.works, SmtpServer(host="127.0.0.1", port=1, sender=SENDER)
        self.works = replace(works, channel=SmtpChannel(nobody))
        yield
        self.works = works

    def refuse(self, person_id: UUID, *, code: int) -> None:
        self.faults.set(Fault(self.address_of(person_id), code=code))

    def machine(self, name: str = "ops:support") -> Any:
        return bearer(self.keys.machine(name), clinic_id=str(self.clinic_id))


def claim_of(found: DueDispatch) -> ClaimDispatch:
    return ClaimDispatch(
        clinic_id=found.clinic_id, recipient=found.recipient, dispatch_id=found.dispatch_id
    )


@asynccontextmanager
async def mail_server(folder: Path) -> AsyncIterator[tuple[Mailbox, Faults, int]]:
    mailbox, faults = Mailbox(folder / "mail"), Faults()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol(Door(mailbox, faults)), "127.0.0.1", 0)
    try:
        yield mailbox, faults, server.sockets[0].getsockname()[1]
    finally:
        faults.clear()
        server.close()


@asynccontextmanager
async def notifications_world(
    databases: ServiceDatabase, folder: Path
) -> AsyncIterator[NotificationsWorld]:
    keys = Keys(folder, system_clock)
    own = OKPKey.generate_key("Ed25519", {"kid": "service:notifications"})
    keys.machines["service:notifications"] = own
    keys.write()
    (folder / "own.jwk").write_text(json.dumps(own.as_dict(private=True)))
    async with AsyncExitStack() as stack:
        app = Database(databases.app, size=8, name="test")
        worker = Database(databases.worker, size=4, name="test worker")
        stack.push_async_callback(app.close)
        stack.push_async_callback(worker.close)
        mailbox, faults, port = await stack.enter_async_context(mail_server(folder))
        sink = await stack.enter_async_context(push_sink(folder))
        stated, details = StatedDirectory(), Details()  # type: ignore[abstract]
        directory_edge = await stack.enter_async_context(
            serving(keys, [registration(add_DirectoryInternalServiceServicer_to_server, details)])
        )
        peer = Peer("directory", signer=Signer(folder / "own.jwk", audience=AUDIENCE))
        replica = Replica(app, stated, applied=lambda: None)
        storage = Storage(app, replica, fell_due=lambda _: None)
        tokens, page_tokens = UnsubscribeTokens(SEALING_KEY), PageTokens(SEALING_KEY)
        channel = directory_edge.channel
        works = MailWorks(
            rounds=rounds_of(storage),
            directory=Directory(channel, peer, DirectoryClient(channel, peer)),
            channel=SmtpChannel(
                SmtpServer(
                    host="127.0.0.1",
                    port=port,
                    sender=SENDER,
                    connect_seconds=0.5,
                    mail_seconds=1.5,
                )
            ),
            composer=Composer(
                sender=SENDER, tokens=tokens, public_url=PUBLIC_URL, clock=system_clock
            ),
            prints=AddressPrints(SEALING_KEY),
            return_paths=RETURN_PATHS,
        )
        push_tokens = PushTokens(SEALING_KEY)
        push = PushChannel(
            push_tokens, {Platform.FCM: sink.fcm(), Platform.APNS: sink.apns()}, paces={}
        )
        register = partial(register_device, tokens=push_tokens, channel=push)
        stack.push_async_callback(push.close)
        internal = NotificationsInternalServicer(
            storage,
            page_tokens,
            apply=partial(apply_messages, replica),
            code_works=code_works(storage, works),
        )
        edge = await stack.enter_async_context(
            serving(
                keys,
                [
                    registration(
                        add_NotificationsServiceServicer_to_server,
                        NotificationsServicer(storage, page_tokens, register=register),
                    ),
                    registration(add_NotificationsInternalServiceServicer_to_server, internal),
                ],
            )
        )
        yield NotificationsWorld(
            app=app,
            worker=worker,
            storage=storage,
            replica=replica,
            directory=stated,
            details=details,
            works=works,
            due=Due(worker),
            mailbox=mailbox,
            faults=faults,
            databases=databases,
            sink=sink,
            push=push,
            keys=keys,
            tokens=tokens,
            public=NotificationsServiceStub(edge.channel),
            internal=NotificationsInternalServiceStub(edge.channel),
        )
