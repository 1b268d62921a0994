"""A suite full of people and messages, made without their help: states through ApplyStates, threads
and messages by COPY, sealed as the service seals them."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import grpc
import psycopg
from joserfc import jwt
from joserfc.jwk import OKPKey

from clinic.conversations.v1.conversations_internal_service_pb2 import ApplyStatesRequest
from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    ConversationsInternalServiceStub,
)
from clinic.directory.v1 import clinic_pb2, directory_events_pb2, profile_pb2
from clinic.notifications.v1.notifications_internal_service_pb2 import (
    ApplyStatesRequest as NotificationsApplyStatesRequest,
)
from clinic.notifications.v1.notifications_internal_service_pb2_grpc import (
    NotificationsInternalServiceStub,
)
from deploy.local.environment import AUDIENCE, ISSUER
from deploy.local.stack import Stack
from services.chassis.client import Signer
from services.chassis.clock import system_clock
from services.chassis.database import Database
from services.chassis.ids import uuid7
from services.chassis.keys import DataKeys, FileKeyProvider
from services.conversations.domain.message import Message
from services.conversations.storage.texts import Place, Texts
from services.messaging_rule import Side

_INCARNATION = "00000000-0000-7000-8000-000000000000"
_STATES_MOST = 200
# Longer than a benchmark: notifications decides on every message, and no mail leaves, for these
# people have no directory that knows their addresses.
_MAIL_HOLD = timedelta(hours=10)
_BODY = "How are you feeling since the new dose? Please tell me about the nights as well."


@dataclass(frozen=True, slots=True)
class Person:
    side: Side
    id: UUID
    clinic_id: UUID
    session_id: UUID


@dataclass(frozen=True, slots=True)
class Thread:
    id: UUID
    staff: Person
    profile: Person


class Seeder:
    """Fills the databases of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._issuer = OKPKey.import_key(json.loads((stack.keys / "issuer.jwk").read_text()))
        self._signer = Signer(stack.keys / "service-directory.jwk", audience=AUDIENCE)

    def token(self, person: Person) -> str:
        """A person's token that outlives the benchmark."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(person.id),
            "sid": str(person.session_id),
            "clinic_id": str(person.clinic_id),
            "acting": f"{person.side}:{person.id}",
            "iat": now,
            "nbf": now,
            "exp": now + 36_000,
        }
        header = {"alg": "EdDSA", "kid": self._issuer.kid}
        return jwt.encode(header, claims, self._issuer, algorithms=["EdDSA"])

    async def people(self, clinics: int, staff_each: int, profiles_each: int) -> list[Thread]:
        """Clinics with messaging allowed, and for each pair of a staff member and a profile the
        thread that they may have."""
        threads: list[Thread] = []
        for _ in range(clinics):
            clinic_id = uuid7()
            staff = [_person(Side.STAFF, clinic_id) for _ in range(staff_each)]
            profiles = [_person(Side.PROFILE, clinic_id) for _ in range(profiles_each)]
            await self.apply(clinic_id, [_clinic_state(clinic_id)])
            for people in (staff, profiles):
                for start in range(0, len(people), _STATES_MOST):
                    part = people[start : start + _STATES_MOST]
                    await self.apply(clinic_id, [_person_state(person) for person in part])
                    await self.apply(clinic_id, [_session_state(person) for person in part])
            threads += [
                Thread(uuid7(), staff[n % staff_each], profile)
                for n, profile in enumerate(profiles)
            ]
        return threads

    async def apply(self, clinic_id: UUID, states: Sequence[directory_events_pb2.State]) -> None:
        """As the directory does, to both services that hold a replica for sends."""
        metadata = (
            ("authorization", f"Bearer {self._signer.token()}"),
            ("clinic-id", str(clinic_id)),
        )
        async with grpc.aio.insecure_channel(
            self._stack.internal_address("conversations")
        ) as channel:
            await ConversationsInternalServiceStub(channel).ApplyStates(
                ApplyStatesRequest(states=states), metadata=metadata, timeout=10
            )
        async with grpc.aio.insecure_channel(
            self._stack.internal_address("notifications")
        ) as channel:
            await NotificationsInternalServiceStub(channel).ApplyStates(
                NotificationsApplyStatesRequest(states=states), metadata=metadata, timeout=10
            )

    async def messages(self, threads: Sequence[Thread], each: int) -> None:
        """Threads with messages of both sides in turn, all read; none where `each` is 0."""
        url = self._stack.superuser_url("conversations")
        texts, database = await self._texts()
        began = datetime.now(UTC) - timedelta(days=30)
        keys = {id: await texts.current_key(id) for id in {t.staff.clinic_id for t in threads}}
        await database.close()
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            with cursor.copy(_COPY_CONVERSATIONS) as copy:
                for thread in threads:
                    copy.write_row(_conversation_row(thread, each, began))
            with cursor.copy(_COPY_MESSAGES) as copy:
                for thread in threads:
                    for n in range(1, each + 1):
                        message = _message(thread, n, began)
                        sealed = texts.seal(keys[message.clinic_id], Place.of(message), _BODY)
                        copy.write_row(_message_row(message, sealed))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("vacuum analyze")

    async def _texts(self) -> tuple[Texts, Database]:
        settings = self._stack.environment("conversations")
        database = Database(settings["CONVERSATIONS_DATABASE_URL"], size=2, name="seed")
        provider = FileKeyProvider(Path(settings["CONVERSATIONS_MASTER_KEY_FILE"]))
        keys = DataKeys(provider, database, system_clock)
        worker = Database(settings["CONVERSATIONS_WORKER_DATABASE_URL"], size=1, name="seed")
        await keys.check(worker)
        await worker.close()
        return Texts(keys, bytes(32)), database


_COPY_CONVERSATIONS = """
copy conversations (clinic_id, id, staff_id, profile_id, created_at, last_sequence,
    staff_read_sequence, profile_read_sequence, last_activity_at) from stdin
"""
_COPY_MESSAGES = """
copy messages (clinic_id, conversation_id, sequence, id, sender_side, request_id, ciphertext,
    key_version, fingerprint, sent_at) from stdin
"""


def _person(side: Side, clinic_id: UUID) -> Person:
    return Person(side, uuid7(), clinic_id, uuid7())


def _conversation_row(thread: Thread, each: int, began: datetime) -> tuple[object, ...]:
    clinic_id = thread.staff.clinic_id
    people = (thread.staff.id, thread.profile.id)
    last = began + timedelta(minutes=each)
    return (clinic_id, thread.id, *people, began, each, each, each, last)


def _message(thread: Thread, n: int, began: datetime) -> Message:
    return Message(
        id=uuid4(),
        clinic_id=thread.staff.clinic_id,
        conversation_id=thread.id,
        sequence=n,
        sender_side=Side.STAFF if n % 2 else Side.PROFILE,
        body=None,
        sent_at=began + timedelta(minutes=n),
    )


def _message_row(message: Message, sealed: bytes) -> tuple[object, ...]:
    place = (message.clinic_id, message.conversation_id, message.sequence, message.id)
    return (*place, message.sender_side, uuid4(), sealed, 1, b"-" * 32, message.sent_at)


def _clinic_state(clinic_id: UUID) -> directory_events_pb2.State:
    state = directory_events_pb2.ClinicState(
        clinic_id=str(clinic_id),
        version=1,
        incarnation=_INCARNATION,
        messaging_policy=clinic_pb2.MESSAGING_POLICY_ALLOWED,
    )
    state.mail_hold.FromTimedelta(_MAIL_HOLD)
    return directory_events_pb2.State(clinic=state)


def _person_state(person: Person) -> directory_events_pb2.State:
    clinic_id, id = str(person.clinic_id), str(person.id)
    if person.side is Side.STAFF:
        staff = directory_events_pb2.StaffState(
            clinic_id=clinic_id, staff_id=id, version=1, incarnation=_INCARNATION, active=True
        )
        return directory_events_pb2.State(staff=staff)
    profile = directory_events_pb2.ProfileState(
        clinic_id=clinic_id,
        profile_id=id,
        version=1,
        incarnation=_INCARNATION,
        messaging_override=profile_pb2.MESSAGING_OVERRIDE_INHERIT,
    )
    return directory_events_pb2.State(profile=profile)


def _session_state(person: Person) -> directory_events_pb2.State:
    now = datetime.now(UTC)
    state = directory_events_pb2.SessionState(
        clinic_id=str(person.clinic_id),
        session_id=str(person.session_id),
        version=1,
        incarnation=_INCARNATION,
        open_time=now,
        last_activity_time=now,
    )
    setattr(state, f"{person.side}_id", str(person.id))
    return directory_events_pb2.State(session=state)


def departure(person: Person, gone: bool) -> directory_events_pb2.State:
    """A staff member who leaves, or comes back."""
    state = _person_state(person)
    state.staff.version = 2 if gone else 3
    state.staff.active = not gone
    state.staff.deactivation_id = str(uuid7()) if gone else ""
    return state
