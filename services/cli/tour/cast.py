"""Who takes part in the tour, and what they act with."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from clinic.conversations.v1 import conversation_pb2, message_pb2
from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.failures import Failed, Refused
from services.cli.mailbox import Mail, Mailbox
from services.cli.sessions import Desk, Person, SignedIn
from services.cli.suite import Heard, Suite
from services.cli.tour.telling import Narrator

_MAIL_WITHIN = timedelta(seconds=20)
_LOOK_EVERY = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class Stage:
    """What every chapter is played on."""

    suite: Suite
    desk: Desk
    mailbox: Mailbox
    narrator: Narrator

    async def mail(self, *, to: str, about: str) -> Mail:
        """The latest mail to an address about a conversation, as soon as it is there.

        Raises Failed where none comes in time.
        """
        self.narrator.heard(Heard("look into the mailbox", to, "", 0.0))
        deadline = datetime.now(UTC) + _MAIL_WITHIN
        while datetime.now(UTC) < deadline:
            for mail in await self.mailbox.mails(to=to):
                if mail.conversation_id == about:
                    return mail
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
        raise Failed(f"no mail came within {_MAIL_WITHIN.total_seconds():.0f} s")


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody signed in, with the calls that they make."""

    name: str
    email: str
    person: Person
    caller: SignedIn
    suite: Suite

    @property
    def id(self) -> str:
        return self.person.id

    async def start(self, profile_id: str) -> conversation_pb2.Conversation:
        request = pb.StartConversationRequest(profile_id=profile_id, request_id=str(uuid7()))
        answer = await self.caller.call(self.suite.conversations.StartConversation, request)
        return answer.conversation

    async def cannot_start(self, profile_id: str) -> Refused | None:
        request = pb.StartConversationRequest(profile_id=profile_id, request_id=str(uuid7()))
        return await self.caller.refused(self.suite.conversations.StartConversation, request)

    async def send(self, conversation_id: str, body: str) -> message_pb2.Message:
        request = _message(conversation_id, body)
        return (await self.caller.call(self.suite.conversations.SendMessage, request)).message

    async def cannot_send(self, conversation_id: str, body: str) -> Refused | None:
        request = _message(conversation_id, body)
        return await self.caller.refused(self.suite.conversations.SendMessage, request)

    async def delete(self, message: message_pb2.Message) -> message_pb2.Message:
        request = _deletion(message)
        return (await self.caller.call(self.suite.conversations.DeleteMessage, request)).message

    async def cannot_delete(self, message: message_pb2.Message) -> Refused | None:
        return await self.caller.refused(self.suite.conversations.DeleteMessage, _deletion(message))

    async def inbox(self) -> list[conversation_pb2.Conversation]:
        request = pb.ListConversationsRequest()
        answer = await self.caller.call(self.suite.conversations.ListConversations, request)
        return list(answer.conversations)

    async def conversation(self, id: str) -> conversation_pb2.Conversation:
        request = pb.GetConversationRequest(conversation_id=id)
        answer = await self.caller.call(self.suite.conversations.GetConversation, request)
        return answer.conversation

    async def cannot_see(self, id: str) -> Refused | None:
        request = pb.GetConversationRequest(conversation_id=id)
        return await self.caller.refused(self.suite.conversations.GetConversation, request)

    async def messages(self, id: str) -> list[message_pb2.Message]:
        """The first one first."""
        request = pb.ListMessagesRequest(conversation_id=id, order=pb.MESSAGE_ORDER_OLDEST_FIRST)
        answer = await self.caller.call(self.suite.conversations.ListMessages, request)
        return list(answer.messages)

    async def cannot_read(self, id: str) -> Refused | None:
        request = pb.ListMessagesRequest(conversation_id=id)
        return await self.caller.refused(self.suite.conversations.ListMessages, request)

    async def mark_read(self, id: str, up_to: int) -> int:
        """What is left unread there."""
        request = pb.MarkConversationReadRequest(conversation_id=id, up_to_sequence=up_to)
        stub = self.suite.conversations.MarkConversationRead
        return (await self.caller.call(stub, request)).unread_count

    async def badge(self) -> int:
        stub = self.suite.conversations.GetUnreadSummary
        return (await self.caller.call(stub, pb.GetUnreadSummaryRequest())).unread_messages

    async def follow(self, mail: Mail, *, meant_for: Person) -> str:
        """What the link of a mail answers: OK, WRONG_PROFILE or PROFILE_MERGED."""
        request = pb.ResolveLinkRequest(
            conversation_id=mail.conversation_id, profile_id=meant_for.id
        )
        answer = await self.caller.call(self.suite.conversations.ResolveLink, request)
        name = pb.ResolveLinkResponse.Outcome.Name(answer.outcome)
        return name.removeprefix("OUTCOME_")


@dataclass(frozen=True, slots=True)
class Cast:
    clinic_id: str
    owner: Actor
    manager: Actor
    practitioner: Actor
    colleague: Actor
    front_desk: Actor
    patient: Actor
    contact: Actor


async def join(stage: Stage, person: Person, *, clinic_id: str, name: str, email: str) -> Actor:
    """Sign somebody in, to act from now on."""
    caller = await stage.desk.sign_in(person, clinic_id=clinic_id, name=name)
    return Actor(name, email, person, caller, stage.suite)


def _message(conversation_id: str, body: str) -> pb.SendMessageRequest:
    return pb.SendMessageRequest(
        conversation_id=conversation_id, body=body, request_id=str(uuid7())
    )


def _deletion(message: message_pb2.Message) -> pb.DeleteMessageRequest:
    return pb.DeleteMessageRequest(
        conversation_id=message.conversation_id,
        sequence=message.sequence,
        request_id=str(uuid7()),
    )
