"""A person who acts in a demonstration, one method an act."""

from dataclasses import dataclass

from clinic.conversations.v1 import conversation_pb2, message_pb2
from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.failures import Refused
from services.cli.sessions import Desk, Person, SignedIn
from services.cli.suite import Caller, Suite

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody signed in, with the calls that they make. Refusals are raised as Refused, but by
    those methods that expect one."""

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
        request = _deletion(message)
        return await self.caller.refused(self.suite.conversations.DeleteMessage, request)

    async def inbox(self) -> list[conversation_pb2.Conversation]:
        """The latest 50."""
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
        return await all_messages(self.suite, self.caller, id)

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

    async def follow_link(self, conversation_id: str, *, meant_for: Person) -> str:
        """What the link of a mail answers: OK, WRONG_PROFILE or PROFILE_MERGED."""
        request = pb.ResolveLinkRequest(conversation_id=conversation_id, profile_id=meant_for.id)
        answer = await self.caller.call(self.suite.conversations.ResolveLink, request)
        name = pb.ResolveLinkResponse.Outcome.Name(answer.outcome)
        return name.removeprefix("OUTCOME_")


async def join(desk: Desk, person: Person, *, clinic_id: str, name: str, email: str) -> Actor:
    """Sign somebody in, to act from now on."""
    caller = await desk.sign_in(person, clinic_id=clinic_id, name=name)
    return Actor(name, email, person, caller, desk.suite)


async def all_messages(
    suite: Suite, caller: Caller, conversation_id: str
) -> list[message_pb2.Message]:
    """Every message of a conversation, the first one first."""
    messages: list[message_pb2.Message] = []
    request = pb.ListMessagesRequest(
        conversation_id=conversation_id, order=pb.MESSAGE_ORDER_OLDEST_FIRST, page_size=_PAGE
    )
    while True:
        page = await caller.call(suite.conversations.ListMessages, request)
        messages.extend(page.messages)
        if not page.next_page_token:
            return messages
        request.page_token = page.next_page_token


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
