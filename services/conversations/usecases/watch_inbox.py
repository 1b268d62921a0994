"""Following one's inbox live; every event is authorised afresh (R13, R30, I8, I22, P6, P9)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

from services.chassis.clock import Clock
from services.chassis.errors import NotFound, OutOfRange, SessionEnded
from services.chassis.identity import Caller
from services.conversations.domain.watching import (
    CloseCause,
    Closing,
    Heartbeat,
    MessageChanged,
    News,
    Position,
    Resync,
    UnreadChanged,
    Update,
)
from services.conversations.domain.writing import side_of
from services.conversations.storage.events import ConversationNews, read_news
from services.conversations.storage.tail import InboxEvent, Tail, Watch
from services.conversations.storage.views import Views
from services.conversations.usecases.access import let_through

HEARTBEAT_SECONDS = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchInbox:
    """`since` is where the client left off, or None to begin now."""

    caller: Caller
    since: Position | None


async def watch_inbox(
    command: WatchInbox, *, views: Views, tail: Tail, clock: Clock
) -> AsyncGenerator[Update, None]:
    """Tell what happens in the caller's threads, in order, from a position on.

    Begins with the position; ends with `Closing`. A position that is gone gives `Resync`.
    """
    await views.nothing(command.caller)
    watch, caller = await tail.open(command.caller), command.caller
    # How far the client has been told all: what a closing must not pass over.
    reached = begin = tail.at
    try:
        missed: Sequence[InboxEvent] = []
        try:
            if command.since is not None:
                missed = await tail.missed(caller, command.since)
                reached = command.since
            yield Update(reached, Heartbeat())
        except OutOfRange:
            yield Update(reached, Resync())
        for event in missed:
            for update in await _updates(views, caller, event, begin.incarnation):
                yield update
            reached = Position(begin.incarnation, event.number)
        # The token may come from a copy that is ahead of this one.
        reached = max(reached, begin)
        async for item in _waiting(watch, clock):
            if isinstance(item, InboxEvent):
                if item.number > reached.number:
                    for update in await _updates(views, caller, item, begin.incarnation):
                        yield update
                    reached = Position(begin.incarnation, item.number)
                continue
            if isinstance(item, Closing) and item.cause is CloseCause.TOO_SLOW:
                reached = tail.at
                yield Update(reached, Resync())
            elif not watch.waiting:
                reached = max(reached, tail.at)
            yield Update(reached, item)
    except SessionEnded:
        yield Update(reached, Closing(CloseCause.SESSION_ENDED))
    finally:
        tail.close(watch)


async def _waiting(watch: Watch, clock: Clock) -> AsyncIterator[InboxEvent | Heartbeat | Closing]:
    """What comes to a watch, heartbeats between, and last the cause of its end."""
    while True:
        while watch.waiting and watch.cause is None:
            yield watch.waiting.popleft()
        if watch.cause is None and clock() >= watch.caller.expires_at:
            watch.close(CloseCause.TOKEN_EXPIRED)
        if watch.cause is not None:
            yield Closing(watch.cause)
            return
        left = (watch.caller.expires_at - clock()).total_seconds()
        if not await _woken(watch, min(HEARTBEAT_SECONDS, left)) and not watch.waiting:
            yield Heartbeat()


async def _woken(watch: Watch, seconds: float) -> bool:
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await watch.woken.wait()
    except TimeoutError:
        return False
    watch.woken.clear()
    return True


async def _updates(
    views: Views, caller: Caller, event: InboxEvent, incarnation: str
) -> list[Update]:
    """An event as its updates. Only the last moves the position on: a repeat of numbers is
    harmless, a repeat of an event is not."""
    try:
        news = await _news(views, caller, event)
    except NotFound:
        return []  # no longer theirs to see; the watch is about to be closed
    before = Position(incarnation, event.number - 1)
    here = Position(incarnation, event.number)
    return [Update(here if item is news[-1] else before, item) for item in news]


async def _news(views: Views, caller: Caller, event: InboxEvent) -> list[News]:
    found = read_news(event.type, event.payload)
    if found is None:
        return []
    sequence = found.sequence if isinstance(found, ConversationNews) else 0
    thread, message, badge = await views.message(caller, event.conversation_id, sequence)
    conversation, _ = let_through(thread, caller)
    if not isinstance(found, ConversationNews):
        return [found]
    unread = UnreadChanged(conversation.id, conversation.unread(side_of(caller)), badge)
    if found.receipt is not None:
        return [unread, found.receipt]
    assert message is not None
    return [unread, MessageChanged(message, deleted=found.deleted)]
