"""Erasing one's own message within five minutes (R27 to R31, I18, I22, I23, I32, I35)."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.conversations.domain.errors import MessageNotFound
from services.conversations.domain.message import Message, check_deletable
from services.conversations.domain.writing import side_of
from services.conversations.storage.events import message_deleted
from services.conversations.storage.unit_of_work import Transaction
from services.conversations.usecases.access import access_conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteMessage:
    caller: Caller
    conversation_id: UUID
    sequence: int
    request_id: UUID


async def delete_message(tx: Transaction, command: DeleteMessage) -> Message:
    """The tombstone, for good; a second delete returns the same one, also after the window."""
    conversation, _ = await access_conversation(tx, command.conversation_id, lock=True)
    side = side_of(command.caller)
    message = await tx.messages.get(conversation, command.sequence)
    if message is None:
        raise MessageNotFound("There is no such message")
    if message.deleted_at is not None and message.sender_side is side:
        return message
    check_deletable(message, side, arrived_at=tx.arrived_at)
    tombstone = await tx.messages.erase(conversation, command.sequence)
    if command.sequence > conversation.read_sequence(side.other):
        await tx.conversations.lower_unread(conversation.id, side.other)
    await tx.publish(message_deleted(conversation, tombstone))
    return tombstone
