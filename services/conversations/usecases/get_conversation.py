"""One thread as a participant sees it (R32)."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.conversations.domain.inbox import Entry
from services.conversations.storage.unit_of_work import Transaction
from services.conversations.usecases.access import access_conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class GetConversation:
    caller: Caller
    conversation_id: UUID


async def get_conversation(tx: Transaction, command: GetConversation) -> Entry:
    await access_conversation(tx, command.conversation_id)
    return await tx.conversations.entry(command.conversation_id)
