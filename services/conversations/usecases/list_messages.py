"""A thread's messages, from either end (R7). Listing marks nothing as read (R21)."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.conversations.domain.message import Message
from services.conversations.storage.unit_of_work import Transaction
from services.conversations.usecases.access import access_conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMessages:
    """`beyond` is a sequence that the first message lies beyond, in the order asked for."""

    caller: Caller
    conversation_id: UUID
    newest_first: bool
    beyond: int | None
    page_size: int


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is the sequence beyond which the following page lies, or None at the end."""

    messages: Sequence[Message]
    next: int | None


async def list_messages(tx: Transaction, command: ListMessages) -> Page:
    conversation, _ = await access_conversation(tx, command.conversation_id)
    found = await tx.messages.page(
        conversation,
        newest_first=command.newest_first,
        beyond=command.beyond,
        most=command.page_size + 1,
    )
    shown = found[: command.page_size]
    more = len(found) > command.page_size
    return Page(shown, shown[-1].sequence if more else None)
