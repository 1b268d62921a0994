"""Group commit: what arrives while a transaction is under way forms the next one (limits.md).

Alone, a member is a batch of one and waits for nothing. A member whose key is locked elsewhere
comes back as SKIPPED and waits in a lane of its own key, in order, one transaction at a time; while
a key has members in its lane, later ones join them there.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from services.chassis.errors import Aborted, DomainError, ResourceExhausted
from services.chassis.logs import get_logger

MOST_MEMBERS = 128
# As long as a batch took, the next one gathers: half as many batches, each hardly dearer. Nobody
# pays so for a stall, and a full batch has nothing to gather.
_MOST_REST = 0.05
MOST_WAITING = 4_096

M = TypeVar("M")
R = TypeVar("R")

log = get_logger()


class Skipped(Enum):
    SKIPPED = "skipped"


SKIPPED = Skipped.SKIPPED

# (members, wait for locks?) -> an outcome for each member, in order.
Commit = Callable[[Sequence[M], bool], Awaitable[Sequence[R | DomainError | Skipped]]]


@dataclass(slots=True)
class _Entry(Generic[M, R]):
    """`answer` is done before its time where its caller has left: the write goes on."""

    member: M
    answer: asyncio.Future[R]


@dataclass(slots=True)
class _Queue(Generic[M, R]):
    waiting: deque[_Entry[M, R]] = field(default_factory=deque)

    def take(self) -> list[_Entry[M, R]]:
        return [self.waiting.popleft() for _ in range(min(MOST_MEMBERS, len(self.waiting)))]


class Batcher(Generic[M, R]):
    """One road for many small writes: `commit` runs a transaction, `key` names a member's lock."""

    def __init__(self, commit: Commit[M, R], *, key: Callable[[M], Hashable]) -> None:
        self._commit = commit
        self._key = key
        self._road: _Queue[M, R] = _Queue()
        self._lanes: dict[Hashable, _Queue[M, R]] = {}
        self._driving = False
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, member: M) -> R:
        """The member's own outcome: its result, or its refusal raised.

        Cancelling the wait does not cancel the write. Raises ResourceExhausted where too many wait.
        """
        if self._waiting >= MOST_WAITING:
            raise ResourceExhausted("Too many writes are waiting")
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        entry = _Entry(member, answer)
        self._road.waiting.append(entry)
        if not self._driving:
            self._driving = True
            self._start(self._drive_road())
        self._waiting += 1
        return await answer

    def _start(self, work: Coroutine[None, None, None]) -> None:
        # Of no caller: the writes of many go together, and none of them speaks for the others.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drive_road(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while entries := self._road.take():
                began = loop.time()
                if free := [entry for entry in entries if not self._joined_lane(entry)]:
                    await self._run(free, wait=False)
                if 1 < len(entries) < MOST_MEMBERS:
                    await asyncio.sleep(min(loop.time() - began, _MOST_REST))
        finally:
            self._driving = False

    async def _drive_lane(self, key: Hashable) -> None:
        lane = self._lanes[key]
        while entries := lane.take():
            await self._run(entries, wait=True)
        del self._lanes[key]

    async def _run(self, entries: list[_Entry[M, R]], *, wait: bool) -> None:
        """One transaction; where a member breaks it, one a member, so that each has its own."""
        try:
            outcomes = await self._commit([entry.member for entry in entries], wait)
            answered = list(zip(entries, outcomes, strict=True))
        except Exception as error:
            if len(entries) == 1 or _concerns_all(error):
                for entry in entries:
                    self._fail(entry, error)
                return
            log.warning("batch_repeated_by_member", members=len(entries), exc_info=error)
            for entry in entries:
                if wait or not self._joined_lane(entry):
                    await self._run([entry], wait=wait)
            return
        for entry, outcome in answered:
            self._answer(entry, outcome)

    def _joined_lane(self, entry: _Entry[M, R]) -> bool:
        lane = self._lanes.get(self._key(entry.member))
        if lane is not None:
            lane.waiting.append(entry)
        return lane is not None

    def _answer(self, entry: _Entry[M, R], outcome: R | DomainError | Skipped) -> None:
        if isinstance(outcome, Skipped):
            self._put_in_lane(entry)
        elif isinstance(outcome, DomainError):
            self._fail(entry, outcome)
        else:
            self._waiting -= 1
            if not entry.answer.done():
                entry.answer.set_result(outcome)

    def _fail(self, entry: _Entry[M, R], error: Exception) -> None:
        self._waiting -= 1
        if not entry.answer.done():
            entry.answer.set_exception(error)
            entry.answer.exception()  # a caller who has just left cannot look at it

    def _put_in_lane(self, entry: _Entry[M, R]) -> None:
        if not self._joined_lane(entry):
            key = self._key(entry.member)
            self._lanes[key] = _Queue(deque([entry]))
            self._start(self._drive_lane(key))


def _concerns_all(error: Exception) -> bool:
    """The database is out of reach or overloaded; a race that was lost may be one member's."""
    return isinstance(error, DomainError) and not isinstance(error, Aborted)
