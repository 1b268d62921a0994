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
from services.conversations.storage.unit_of_work import Storage, Transaction
from services.conversations.usecases.access import access_conversation

HEARTBEAT_SECONDS = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchInbox:
    """`since` is where the client left off, or None to begin now."""

    caller: Caller
    since: Position | None


@dataclass(frozen=True, slots=True)
class _Tell:
    caller: Caller
    event: InboxEvent


async def watch_inbox(
    command: WatchInbox, *, storage: Storage, tail: Tail, clock: Clock
) -> AsyncGenerator[Update, None]:
    """Tell what happens in the caller's threads, in order, from a position on.

    Begins with the position; ends with `Closing`. A position that is gone gives `Resync`.
    """
    await storage.run(_check_alive, command)
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
            for update in await _updates(storage, caller, event, begin.incarnation):
                yield update
            reached = Position(begin.incarnation, event.number)
        # The token may come from a copy that is ahead of this one.
        reached = max(reached, begin)
        async for item in _waiting(watch, clock):
            if isinstance(item, InboxEvent):
                if item.number > reached.number:
                    for update in await _updates(storage, caller, item, begin.incarnation):
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
    storage: Storage, caller: Caller, event: InboxEvent, incarnation: str
) -> list[Update]:
    """An event as its updates. Only the last moves the position on: a repeat of numbers is
    harmless, a repeat of an event is not."""
    try:
        news = await storage.run(_news, _Tell(caller, event))
    except NotFound:
        return []  # no longer theirs to see; the watch is about to be closed
    before = Position(incarnation, event.number - 1)
    here = Position(incarnation, event.number)
    return [Update(here if item is news[-1] else before, item) for item in news]


async def _check_alive(tx: Transaction, command: WatchInbox) -> None:
    """The transaction itself checks the session; nothing else is asked here."""


async def _news(tx: Transaction, tell: _Tell) -> list[News]:
    found = read_news(tell.event.type, tell.event.payload)
    if found is None:
        return []
    conversation, _ = await access_conversation(tx, tell.event.conversation_id)
    if not isinstance(found, ConversationNews):
        return [found]
    side = side_of(tx.caller)
    unread = UnreadChanged(
        conversation.id,
        conversation.unread(side),
        await tx.conversations.unread(side, tx.caller.person),
    )
    if found.receipt is not None:
        return [unread, found.receipt]
    message = await tx.messages.get(conversation, found.sequence)
    assert message is not None
    return [unread, MessageChanged(message, deleted=found.deleted)]
