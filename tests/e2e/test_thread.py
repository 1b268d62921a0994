"""The product's story on the whole suite, and what is left behind by it."""

import asyncio
import os
import sys

import pytest

from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.directory.v1 import directory_service_pb2 as directory_pb
from services.chassis.ids import uuid7
from services.cli.failures import Refused
from tests.support.eventually import eventually
from tests.support.leaks import places_of_names, places_of_text
from tests.support.stack import mailbox_of
from tests.support.suite import open_clinic, suite_of


async def test_a_message_goes_through_and_back_and_every_rule_of_the_story_holds(stack):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "tour"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LOCAL_STATE": str(stack.plan.state.directory)},
    )
    told, _ = await process.communicate()

    assert process.returncode == 0, told.decode()


@pytest.fixture
async def suite(stack):
    async with suite_of(stack) as suite:
        yield suite


def _message(conversation_id, body, *, request_id=None):
    return pb.SendMessageRequest(
        conversation_id=conversation_id, body=body, request_id=request_id or str(uuid7())
    )


async def test_no_text_and_no_name_is_found_outside_its_place(stack, suite):
    """Also of calls that were refused, of a search, and of what was deleted (P7, P11, P12)."""
    clinic = await open_clinic(
        suite, name="Quiet Clinic", owner="Ownername Qvortex", owner_email="qvmail@example.test"
    )
    anna = await clinic.hire("Doctor Annaqvist", email="annaqvmail@example.test")
    mia = await clinic.register("Patient Miaqvern", email="mia@example.test")
    thread = await clinic.start(anna, mia)
    send, first = suite.conversations.SendMessage, str(uuid7())
    await anna.call(send, _message(thread, "openingqvtext", request_id=first))
    await mia.call(send, _message(thread, "answerqvtext"))
    slip = (await anna.call(send, _message(thread, "deletedqvtext"))).message
    deletion = pb.DeleteMessageRequest(
        conversation_id=thread, sequence=slip.sequence, request_id=str(uuid7())
    )
    await anna.call(suite.conversations.DeleteMessage, deletion)
    for refused in (
        _message(thread, "reusedqvtext", request_id=first),
        _message(thread, "overlongqvtext" * 1_000),
        _message(str(uuid7()), "astrayqvtext"),
    ):
        with pytest.raises(Refused):
            await anna.call(send, refused)
    with pytest.raises(Refused):
        await clinic.register("Wrongaddress Qvanda", email="qvmail is not an address")
    searched = directory_pb.SearchProfilesRequest(query="miaqv")
    assert (await anna.call(suite.directory.SearchProfiles, searched)).results
    inbox = pb.ListConversationsRequest(query="miaqv")
    await anna.call(suite.conversations.ListConversations, inbox)

    mails = await eventually(lambda: mailbox_of(stack).mails(to="mia@example.test"))

    assert mails
    assert await places_of_text(stack, ["qvtext"]) == []
    assert await places_of_names(stack, ["qvortex", "annaqv", "miaqv", "qvanda", "qvmail"]) == []


async def test_the_search_for_leaks_finds_what_is_there(stack, suite):
    """An id, which is in events, in logs and in the link of a mail; a name, where it is at home."""
    clinic = await open_clinic(
        suite, name="Open Clinic", owner="Owner", owner_email="owner@example.test"
    )
    anna = await clinic.hire("Doctor Anna")
    zoe = await clinic.register("Patient Zoeqvern", email="zoe@example.test")
    thread = await clinic.start(anna, zoe)
    await anna.call(suite.conversations.SendMessage, _message(thread, "Hello"))
    await eventually(lambda: mailbox_of(stack).mails(to="zoe@example.test"))

    async def found():
        places = "\n".join(await places_of_names(stack, [thread]))
        for expected in (".blk", ".eml", "conversations.outbox", "notifications.deliveries"):
            assert expected in places
        return await places_of_text(stack, ["zoeqvern"])

    assert await eventually(found)
