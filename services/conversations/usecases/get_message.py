"""One message, addressed by thread and sequence."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.conversations.domain.errors import MessageNotFound
from services.conversations.domain.message import Message
from services.conversations.storage.unit_of_work import Transaction
from services.conversations.usecases.access import access_conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class GetMessage:
    caller: Caller
    conversation_id: UUID
    sequence: int


async def get_message(tx: Transaction, command: GetMessage) -> Message:
    conversation, _ = await access_conversation(tx, command.conversation_id)
    message = await tx.messages.get(conversation, command.sequence)
    if message is None:
        raise MessageNotFound("There is no such message")
    return message
