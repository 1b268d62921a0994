"""A thread's messages, from either end (R7). Listing marks nothing as read (R21)."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.conversations.domain.message import Message
from services.conversations.storage.views import Views
from services.conversations.usecases.access import let_through

# A response may have 1 MiB; links repeat parts of a body.
PAGE_BYTES = 300_000
_FRAME_BYTES = 400


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


async def list_messages(command: ListMessages, *, views: Views) -> Page:
    """Raises ConversationNotFound for a thread that is not the caller's to see."""
    thread, found = await views.messages(
        command.caller,
        command.conversation_id,
        newest_first=command.newest_first,
        beyond=command.beyond,
        most=command.page_size + 1,
    )
    let_through(thread, command.caller)
    shown = _fitting(found[: command.page_size])
    more = len(found) > len(shown)
    return Page(shown, shown[-1].sequence if more else None)


def _fitting(messages: Sequence[Message]) -> Sequence[Message]:
    """As many as a response has room for, at least one."""
    size = 0
    for count, message in enumerate(messages):
        size += _FRAME_BYTES + len((message.body or "").encode())
        if size > PAGE_BYTES and count:
            return messages[:count]
    return messages
