"""What the other services hold when a call returns, and what is said when it is not known (I38)."""

import asyncio
import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from joserfc.jwk import OKPKey

from clinic.conversations.v1 import conversations_internal_service_pb2 as conversations_pb
from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    ConversationsInternalServiceServicer,
    add_ConversationsInternalServiceServicer_to_server,
)
from clinic.notifications.v1 import notifications_internal_service_pb2 as notifications_pb
from clinic.notifications.v1.notifications_internal_service_pb2_grpc import (
    NotificationsInternalServiceServicer,
    add_NotificationsInternalServiceServicer_to_server,
)
from services.chassis.client import Peer, Signer, open_channel
from services.chassis.clock import system_clock
from services.chassis.errors import Unavailable
from services.chassis.server import registration
from services.directory.clients.conversations import ConversationsClient
from services.directory.clients.notifications import NotificationsClient
from services.directory.domain.clinic import new_clinic
from services.directory.domain.events import State
from services.directory.domain.session import Session
from services.directory.storage.events import to_message
from services.messaging_rule import Side
from tests.support.grpc_world import Keys, serving

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Taking:
    """The other side's ApplyStates: keeps what it is told, after what it is made to do first."""

    def __init__(self):
        self.told = []
        self.first = lambda: asyncio.sleep(0)

    async def take(self, request):
        await self.first()
        self.told.extend(state.WhichOneof("state") for state in request.states)


class Conversations(ConversationsInternalServiceServicer):
    def __init__(self, taking):
        self.taking = taking

    async def ApplyStates(self, request, context):
        await self.taking.take(request)
        return conversations_pb.ApplyStatesResponse(applied=True)


class Notifications(NotificationsInternalServiceServicer):
    def __init__(self, taking):
        self.taking = taking

    async def ApplyStates(self, request, context):
        await self.taking.take(request)
        return notifications_pb.ApplyStatesResponse(applied=True)


@pytest.fixture
def taking():
    return Taking()


@pytest.fixture
def signer(tmp_path):
    own = OKPKey.generate_key("Ed25519", {"kid": "service:directory"})
    path = tmp_path / "own.jwk"
    path.write_text(json.dumps(own.as_dict(private=True)))
    keys = Keys(tmp_path, system_clock)
    keys.machines["service:directory"] = own
    keys.write()
    return keys, Signer(path, audience="clinic")


@pytest.fixture
async def both(taking, signer):
    """A client of each service, and the two behind one port."""
    keys, own = signer
    conversations = Conversations(taking)  # type: ignore[abstract]
    notifications = Notifications(taking)  # type: ignore[abstract]
    doors = [
        registration(add_ConversationsInternalServiceServicer_to_server, conversations),
        registration(add_NotificationsInternalServiceServicer_to_server, notifications),
    ]
    async with serving(keys, doors) as edge:
        yield (
            ConversationsClient(edge.channel, Peer("c", signer=own), encode=to_message),
            NotificationsClient(edge.channel, Peer("n", signer=own), encode=to_message),
        )


def a_clinic():
    return State(new_clinic(clinic_id=uuid4(), name="Harbour", now=NOW), uuid4())


def a_session():
    session = Session(
        clinic_id=uuid4(),
        id=uuid4(),
        side=Side.STAFF,
        person_id=uuid4(),
        opened_at=NOW,
        last_activity_at=NOW,
        ended_at=None,
        end_cause=None,
        version=1,
    )
    return State(session, uuid4())


async def test_what_the_other_side_confirms_is_applied(both, taking):
    conversations, notifications = both

    assert await conversations.apply([a_clinic(), a_session()])
    assert taking.told == ["clinic", "session"]
    assert await notifications.apply([a_session()])


async def test_notifications_is_told_of_sessions_and_staff_alone(both, taking):
    _, notifications = both

    assert await notifications.apply([a_clinic()])
    assert taking.told == []


async def test_a_refusal_or_a_failure_is_not_a_confirmation(both, taking):
    async def refuse():
        raise Unavailable("busy")

    async def break_down():
        raise RuntimeError

    for first in (refuse, break_down):
        taking.first = first
        for client in both:
            assert not await client.apply([a_session()])


async def test_two_seconds_are_the_most_that_a_call_waits(both, taking):
    taking.first = lambda: asyncio.sleep(30)
    begun = asyncio.get_running_loop().time()

    assert not await both[0].apply([a_clinic()])

    assert asyncio.get_running_loop().time() - begun < 2.8


async def test_a_service_that_is_not_there_is_not_waited_for(signer):
    _, own = signer
    channel = open_channel("127.0.0.1:1")
    client = ConversationsClient(channel, Peer("c", signer=own), encode=to_message)

    assert not await client.apply([a_clinic()])

    await channel.close()


async def test_more_states_than_a_call_takes_are_not_confirmed(both, taking):
    clinic = a_clinic()

    assert not await both[0].apply([clinic] * 201)
    assert len(taking.told) == 200
