"""A replay that lost, changed or leaked anything says so."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from clinic.conversations.v1 import conversation_pb2, message_pb2
from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.cli.actor import Actor
from services.cli.mailbox import Mail
from services.cli.replay.comparing import compare, compare_mails, read_all
from services.cli.replay.dialogues import Dialogue, Turn
from services.cli.replay.population import Scene
from services.cli.sessions import Side, SignedIn, profile, staff
from services.conversations.domain.errors import ConversationNotFound
from tests.support.cli_world import PartialServicer, refuse, suite_with

ID = "0199d1a0-5b7e-7c31-9f6a-3f1f0a4c2b11"
DIALOGUE = Dialogue("d", (Turn(Side.STAFF, "How are you?"), Turn(Side.PROFILE, " fine\n")))
TEXTS = ("How are you?", " fine\n")
BOTH = ("staff", "profile")


@dataclass
class OneThread(PartialServicer):  # type: ignore[misc]
    """A side that is not among `visible_to` is answered as if there were no thread."""

    texts: tuple[str, ...] = TEXTS
    archived: bool = False
    unread: int = 1
    left: int = 0
    visible_to: tuple[str, ...] = BOTH

    async def GetConversation(self, request, context):
        await self._admit(context)
        merged = conversation_pb2.ArchiveReason(cause=conversation_pb2.ARCHIVE_CAUSE_MERGED_AWAY)
        conversation = conversation_pb2.Conversation(
            archive_reasons=[merged] if self.archived else [],
            can_write=not self.archived,
            unread_count=self.unread,
        )
        return pb.GetConversationResponse(conversation=conversation)

    async def ListMessages(self, request, context):
        await self._admit(context)
        sides = (message_pb2.SIDE_STAFF, message_pb2.SIDE_PROFILE)
        messages = [
            message_pb2.Message(sequence=place + 1, sender_side=sides[place % 2], body=text)
            for place, text in enumerate(self.texts)
        ]
        return pb.ListMessagesResponse(messages=messages)

    async def MarkConversationRead(self, request, context):
        return pb.MarkConversationReadResponse(unread_count=self.left)

    async def GetUnreadSummary(self, request, context):
        return pb.GetUnreadSummaryResponse(unread_messages=self.left)

    async def _admit(self, context):
        token = dict(context.invocation_metadata())["authorization"].removeprefix("Bearer ")
        if token not in self.visible_to:
            await refuse(context, ConversationNotFound("not found"))


@asynccontextmanager
async def a_scene(thread):
    """One dialogue, played on a server that answers with this thread."""
    async with suite_with(thread) as suite:
        doctor, patient = _actor(staff("s"), suite), _actor(profile("p"), suite)
        yield Scene(DIALOGUE, doctor, patient, conversation_id=ID)


def _actor(person, suite):
    """Somebody whose token is their side."""
    caller = SignedIn(person.side, str(person.side), lambda call: None)
    return Actor(person.side, "p@example.test", person, caller, suite)


async def test_a_faithful_thread_differs_in_nothing():
    async with a_scene(OneThread()) as scene:
        assert await compare([scene]) == []
        assert await read_all([scene]) == []


@pytest.mark.parametrize(
    "thread",
    [
        OneThread(texts=("How are you?", "fine\n")),
        OneThread(texts=("How are you?", " fine")),
        OneThread(texts=TEXTS[:1]),
        OneThread(texts=(*TEXTS, "more")),
        OneThread(texts=TEXTS[::-1]),
        OneThread(archived=True),
        OneThread(visible_to=("staff",)),
        OneThread(visible_to=("profile",)),
    ],
)
async def test_whatever_is_lost_or_changed_is_told(thread):
    async with a_scene(thread) as scene:
        assert await compare([scene])


async def test_a_merged_thread_is_archived_for_staff_and_gone_for_the_patient():
    async with a_scene(OneThread(archived=True, visible_to=("staff",))) as scene:
        assert await compare([scene], merged={"p"}) == []


@pytest.mark.parametrize(
    "thread", [OneThread(archived=True), OneThread(visible_to=("staff",)), OneThread()]
)
async def test_a_merge_that_hid_nothing_or_archived_nothing_is_told(thread):
    async with a_scene(thread) as scene:
        assert await compare([scene], merged={"p"})


@pytest.mark.parametrize("thread", [OneThread(unread=2), OneThread(left=1)])
async def test_wrong_unread_numbers_are_told(thread):
    async with a_scene(thread) as scene:
        assert await read_all([scene])


async def test_a_dialogue_that_was_never_started_is_told():
    async with a_scene(OneThread()) as scene:
        scene.conversation_id = ""

        assert await compare([scene])


@pytest.mark.parametrize(("abouts", "right"), [([ID], True), ([], False), ([ID, ID], False)])
async def test_each_staff_message_has_one_mail(abouts, right):
    async with a_scene(OneThread()) as scene:
        assert (compare_mails([scene], [_mail(about) for about in abouts]) == []) is right


async def test_a_mail_about_nothing_is_told():
    async with a_scene(OneThread()) as scene:
        assert compare_mails([scene], [_mail(ID), _mail("")]) == ["1 mails are about no dialogue"]


def _mail(about):
    link = f"https://portal.test/messages/{about}?profile={ID}"
    return Mail("m", datetime.now(UTC), ("p@example.test",), "New message", link, "", {})
