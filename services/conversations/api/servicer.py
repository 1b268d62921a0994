"""What people call: convert, call, convert."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
from google.protobuf.message import Message

from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.conversations.v1.conversations_service_pb2_grpc import ConversationsServiceServicer
from services.chassis.clock import system_clock
from services.chassis.identity import current_caller
from services.chassis.ids import parse_id
from services.chassis.paging import PageTokens
from services.conversations.api import convert, convert_causes, convert_watch
from services.conversations.storage.tail import Tail
from services.conversations.storage.unit_of_work import Storage
from services.conversations.usecases.delete_message import delete_message
from services.conversations.usecases.explain_delivery import Witnesses, explain_delivery
from services.conversations.usecases.get_conversation import GetConversation, get_conversation
from services.conversations.usecases.get_message import GetMessage, get_message
from services.conversations.usecases.list_conversations import list_conversations
from services.conversations.usecases.list_messages import list_messages
from services.conversations.usecases.mark_conversation_read import (
    MarkConversationRead,
    mark_conversation_read,
)
from services.conversations.usecases.resolve_link import resolve_link
from services.conversations.usecases.send_message import SendLimits, send_message
from services.conversations.usecases.start_conversation import start_conversation
from services.conversations.usecases.watch_inbox import watch_inbox

Context = grpc.aio.ServicerContext[Message, Message]


class ConversationsServicer(ConversationsServiceServicer):
    """`clinic.conversations.v1.ConversationsService`."""

    def __init__(
        self,
        storage: Storage,
        tail: Tail,
        witnesses: Witnesses,
        limits: SendLimits,
        page_tokens: PageTokens,
    ) -> None:
        self._storage = storage
        self._witnesses = witnesses
        self._tail = tail
        self._limits = limits
        self._tokens = page_tokens

    async def StartConversation(
        self, request: pb.StartConversationRequest, context: Context
    ) -> pb.StartConversationResponse:
        command = convert.to_start_conversation(request, current_caller())
        entry = await start_conversation(command, storage=self._storage)
        return pb.StartConversationResponse(conversation=convert.from_entry(entry, command.caller))

    async def GetConversation(
        self, request: pb.GetConversationRequest, context: Context
    ) -> pb.GetConversationResponse:
        command = GetConversation(
            caller=current_caller(),
            conversation_id=parse_id(request.conversation_id, field="conversation_id"),
        )
        entry = await self._storage.run(get_conversation, command)
        return pb.GetConversationResponse(conversation=convert.from_entry(entry, command.caller))

    async def ListConversations(
        self, request: pb.ListConversationsRequest, context: Context
    ) -> pb.ListConversationsResponse:
        caller, query = current_caller(), convert.conversations_query(request)
        cursor = self._tokens.open(request.page_token, query)
        command = convert.to_list_conversations(request, caller, cursor)
        page = await list_conversations(command, views=self._storage.views)
        token = self._tokens.seal(query, convert.inbox_cursor(page.next)) if page.next else ""
        return pb.ListConversationsResponse(
            conversations=[convert.from_entry(entry, caller) for entry in page.entries],
            next_page_token=token,
        )

    async def SendMessage(
        self, request: pb.SendMessageRequest, context: Context
    ) -> pb.SendMessageResponse:
        command = convert.to_send_message(request, current_caller())
        message = await send_message(command, storage=self._storage, limits=self._limits)
        return pb.SendMessageResponse(message=convert.from_message(message))

    async def GetMessage(
        self, request: pb.GetMessageRequest, context: Context
    ) -> pb.GetMessageResponse:
        command = GetMessage(
            caller=current_caller(),
            conversation_id=parse_id(request.conversation_id, field="conversation_id"),
            sequence=request.sequence,
        )
        message = await self._storage.run(get_message, command)
        return pb.GetMessageResponse(message=convert.from_message(message))

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        query = convert.messages_query(request)
        cursor = self._tokens.open(request.page_token, query)
        command = convert.to_list_messages(request, current_caller(), cursor)
        page = await list_messages(command, views=self._storage.views)
        token = self._tokens.seal(query, (page.next,)) if page.next else ""
        return pb.ListMessagesResponse(
            messages=map(convert.from_message, page.messages), next_page_token=token
        )

    async def DeleteMessage(
        self, request: pb.DeleteMessageRequest, context: Context
    ) -> pb.DeleteMessageResponse:
        command = convert.to_delete_message(request, current_caller())
        tombstone = await self._storage.run(delete_message, command)
        return pb.DeleteMessageResponse(message=convert.from_message(tombstone))

    async def MarkConversationRead(
        self, request: pb.MarkConversationReadRequest, context: Context
    ) -> pb.MarkConversationReadResponse:
        command = MarkConversationRead(
            caller=current_caller(),
            conversation_id=parse_id(request.conversation_id, field="conversation_id"),
            up_to_sequence=request.up_to_sequence,
        )
        unread = await mark_conversation_read(command, storage=self._storage)
        return pb.MarkConversationReadResponse(unread_count=unread)

    async def GetUnreadSummary(
        self, request: pb.GetUnreadSummaryRequest, context: Context
    ) -> pb.GetUnreadSummaryResponse:
        unread = await self._storage.views.unread(current_caller())
        return pb.GetUnreadSummaryResponse(
            unread_messages=unread.messages, unread_conversations=unread.conversations
        )

    async def WatchInbox(
        self, request: pb.WatchInboxRequest, context: Context
    ) -> AsyncIterator[pb.WatchInboxResponse]:
        command = convert_watch.to_watch_inbox(request, current_caller(), self._tokens)
        updates = watch_inbox(
            command, views=self._storage.views, tail=self._tail, clock=system_clock
        )
        async with aclosing(updates):
            async for update in updates:
                token = self._tokens.seal(
                    convert_watch.QUERY, convert_watch.cursor_of(update.position)
                )
                yield convert_watch.from_update(update, token)

    async def ResolveLink(
        self, request: pb.ResolveLinkRequest, context: Context
    ) -> pb.ResolveLinkResponse:
        command = convert.to_resolve_link(request, current_caller())
        return convert.from_outcome(await self._storage.run(resolve_link, command))

    async def ExplainDelivery(
        self, request: pb.ExplainDeliveryRequest, context: Context
    ) -> pb.ExplainDeliveryResponse:
        command = convert_causes.to_explain_delivery(request, current_caller())
        causes = await explain_delivery(command, storage=self._storage, witnesses=self._witnesses)
        return pb.ExplainDeliveryResponse(causes=map(convert_causes.from_cause, causes))
