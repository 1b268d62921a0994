"""The inbox: the caller's own threads and no other, the latest first (R6, R8, R10, R16)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.conversations.domain.inbox import Entry, Filter
from services.conversations.storage.conversations import Cursor
from services.conversations.storage.views import Views
from services.search_terms import ranges

MOST_QUERY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ListConversations:
    """`query` is what was typed: parts of the other person's name, in any order."""

    caller: Caller
    filter: Filter
    query: str
    page_size: int
    after: tuple[datetime, UUID] | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is where the following page begins, or None at the end."""

    entries: Sequence[Entry]
    next: tuple[datetime, UUID] | None


async def list_conversations(command: ListConversations, *, views: Views) -> Page:
    """Raises InvalidArgument for a query too long: each word of it is a look-up a thread."""
    if len(command.query) > MOST_QUERY:
        raise InvalidArgument(f"query has at most {MOST_QUERY} characters", field="query")
    entries = await views.inbox(
        command.caller,
        filter=command.filter,
        terms=ranges(command.query),
        after=None if command.after is None else Cursor(*command.after),
        most=command.page_size + 1,
    )
    shown = entries[: command.page_size]
    more = len(entries) > command.page_size
    last = shown[-1].conversation if more else None
    return Page(shown, None if last is None else (last.last_activity_at, last.id))
