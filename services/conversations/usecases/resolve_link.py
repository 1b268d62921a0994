"""What a mail's link says to whoever follows it, and nothing more (R15, R42, I10)."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from services.chassis.identity import Caller
from services.conversations.domain.errors import ConversationNotFound
from services.conversations.storage.unit_of_work import Transaction
from services.conversations.usecases.access import access_conversation


class Outcome(StrEnum):
    OK = "OK"
    WRONG_PROFILE = "WRONG_PROFILE"
    PROFILE_MERGED = "PROFILE_MERGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveLink:
    caller: Caller
    conversation_id: UUID
    profile_id: UUID


async def resolve_link(tx: Transaction, command: ResolveLink) -> Outcome:
    """Compare the link's profile with the caller's. Changes nothing: mail scanners follow links."""
    if command.profile_id != command.caller.person_id:
        survivor_id = await tx.people.survivor_of(command.profile_id)
        own = survivor_id == command.caller.person_id
        return Outcome.PROFILE_MERGED if own else Outcome.WRONG_PROFILE
    try:
        await access_conversation(tx, command.conversation_id)
    except ConversationNotFound:
        if await tx.people.is_merged_away(command.profile_id):
            return Outcome.PROFILE_MERGED
        return Outcome.WRONG_PROFILE
    return Outcome.OK
