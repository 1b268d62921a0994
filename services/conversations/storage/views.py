"""What people look at all day: each view is one round trip, of the caller's clinic and session."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.identity import Caller
from services.chassis.line import Statement
from services.conversations.domain.conversation import Conversation
from services.conversations.domain.inbox import Entry, Filter, Unread
from services.conversations.domain.message import Message
from services.conversations.domain.people import People
from services.conversations.domain.writing import side_of
from services.conversations.storage import messages
from services.conversations.storage.conversations import (
    Cursor,
    page_for,
    thread_for,
    to_entry,
    to_thread,
    to_unread,
    unread_of,
)
from services.conversations.storage.texts import Texts
from services.directory_replica.gate import Gate

# A thread and what the replica holds of its people; None where there is no thread.
Found = tuple[Conversation, People | None] | None


class Views:
    """Raises what `Gate.read` raises. Messages come to participants of their thread only; whether
    they may see the thread is for the use case to say."""

    def __init__(self, gate: Gate, texts: Texts) -> None:
        self._gate = gate
        self._texts = texts

    async def inbox(
        self,
        caller: Caller,
        *,
        filter: Filter,
        terms: Sequence[tuple[str, str]],
        after: Cursor | None,
        most: int,
    ) -> Sequence[Entry]:
        """The caller's own threads, the latest first; `terms` are ranges of the other's name."""
        page = page_for(caller, filter=filter, terms=terms, after=after, most=most)
        if terms:
            return await self._found(caller, page)
        [rows] = await self._gate.read(caller, page)
        return [await to_entry(row, self._texts) for row in rows]

    async def _found(self, caller: Caller, page: Statement) -> Sequence[Entry]:
        """By the pool, which plans for what is asked: a search may look at every thread."""

        async def work(
            connection: AsyncConnection, _: datetime
        ) -> Sequence[Row[tuple[object, ...]]]:
            return (await connection.execute(*page)).all()

        rows = await self._gate.run(caller, work)
        return [await to_entry(row, self._texts) for row in rows]

    async def messages(
        self,
        caller: Caller,
        conversation_id: UUID,
        *,
        newest_first: bool,
        beyond: int | None,
        most: int,
    ) -> tuple[Found, Sequence[Message]]:
        """A thread, and its messages from one end on, those beyond a sequence only."""
        page = messages.page_for(
            caller, conversation_id, newest_first=newest_first, beyond=beyond, most=most
        )
        threads, rows = await self._gate.read(caller, thread_for(caller, conversation_id), page)
        found = [await messages.to_message(row, self._texts) for row in rows]
        return to_thread(threads[0]) if threads else None, found

    async def message(
        self, caller: Caller, conversation_id: UUID, sequence: int
    ) -> tuple[Found, Message | None, Unread]:
        """A thread, one of its messages if there is one, and the caller's badge."""
        threads, rows, [badge] = await self._gate.read(
            caller,
            thread_for(caller, conversation_id),
            messages.message_for(caller, conversation_id, sequence),
            unread_of(caller.clinic, side_of(caller), caller.person),
        )
        found = await messages.to_message(rows[0], self._texts) if rows else None
        return to_thread(threads[0]) if threads else None, found, to_unread(badge)

    async def unread(self, caller: Caller) -> Unread:
        """The caller's badge."""
        [[badge]] = await self._gate.read(
            caller, unread_of(caller.clinic, side_of(caller), caller.person)
        )
        return to_unread(badge)

    async def nothing(self, caller: Caller) -> None:
        """Only whether the caller's session is alive."""
        await self._gate.read(caller)
