"""One thread as a participant sees it (R32)."""

from dataclasses import dataclass, replace
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
    return await with_survivor(tx, await tx.conversations.entry(command.conversation_id))


async def with_survivor(tx: Transaction, entry: Entry) -> Entry:
    """For a merged-away profile, with the one that survives it."""
    if entry.people.merge_id is None:
        return entry
    survivor_id = await tx.people.survivor_of(entry.conversation.profile_id)
    return replace(entry, survivor_id=survivor_id)
