"""Calls through a real channel: repeats, refusals, and what is told of them."""

import pytest

from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.conversations.v1 import message_pb2
from clinic.directory.v1 import directory_service_pb2 as directory_pb
from services.chassis.errors import Aborted, FailedPrecondition, ResourceExhausted, Unavailable
from services.cli.failures import Refused
from services.cli.suite import Caller
from tests.support.cli_world import PartialServicer, refuse, suite_with

REQUEST = pb.SendMessageRequest(conversation_id="c", body="hello", request_id="r")


class Disabled(FailedPrecondition):
    reason = "MESSAGING_DISABLED"


class Moody(PartialServicer):  # type: ignore[misc]
    """Refuses as often as it was told to, and then answers."""

    def __init__(self, *refusals):
        self.refusals = list(refusals)
        self.requests = []

    async def SendMessage(self, request, context):
        self.requests.append(request)
        if self.refusals:
            await refuse(context, self.refusals.pop(0))
        return pb.SendMessageResponse(message=message_pb2.Message(body=request.body))


@pytest.fixture
def heard():
    return []


@pytest.fixture
def caller(heard):
    return Caller("somebody", lambda: "token", heard=heard.append)


@pytest.mark.parametrize(
    "refusal", [Unavailable("down"), Aborted("lost"), ResourceExhausted("late", retry_after=0.01)]
)
async def test_what_may_be_repeated_is_repeated_with_the_same_request_id(caller, refusal):
    moody = Moody(refusal)

    async with suite_with(moody) as suite:
        answer = await caller.call(suite.conversations.SendMessage, REQUEST)

    assert answer.message.body == "hello"
    assert [each.request_id for each in moody.requests] == ["r", "r"]


async def test_a_refusal_is_told_once_with_its_reason_and_what_to_do(caller, heard):
    moody = Moody(Disabled("messaging is off.", clinic_id="7"))

    async with suite_with(moody) as suite:
        with pytest.raises(Refused) as refused:
            await caller.call(suite.conversations.SendMessage, REQUEST)

    assert str(refused.value) == (
        "SendMessage was refused: messaging is off "
        "(FAILED_PRECONDITION, MESSAGING_DISABLED, clinic_id 7). "
        "Somebody with full access can change it: `clinic policy allowed`."
    )
    assert [(each.method, each.reason) for each in heard] == [("SendMessage", Disabled.reason)]


async def test_a_service_that_is_not_there_is_told_so(caller):
    async with suite_with(Moody()) as suite:
        request = directory_pb.GetClinicRequest()
        refused = await caller.refused(suite.directory.GetClinic, request)

    assert "the service cannot be reached" in str(refused)
    assert "make run" in str(refused)


async def test_a_granted_call_is_no_refusal(caller):
    async with suite_with(Moody()) as suite:
        assert await caller.refused(suite.conversations.SendMessage, REQUEST) is None
