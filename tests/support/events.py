"""Events as a service writes them, and crashes at each place where a pass may be cut."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar
from uuid import UUID, uuid4

from services.chassis import outbox
from services.chassis.database import Database
from services.chassis.outbox import NewEvent

T = TypeVar("T")


def a_fact(**details: Any) -> NewEvent:
    given: dict[str, Any] = {
        "clinic_id": uuid4(),
        "kind": "fact",
        "type": "thing_happened",
        "aggregate_type": "thing",
        "aggregate_id": uuid4(),
        "aggregate_version": 1,
        "payload": b"",
    }
    return NewEvent(**given | details)


async def write(app: Database, *events: NewEvent) -> None:
    """In one transaction, as a use case does."""
    clinics = {event.clinic_id for event in events}
    await app.transact(lambda connection, _: outbox.add(connection, events), clinics=clinics)


def facts_of(aggregate_id: UUID, count: int, *, clinic_id: UUID) -> list[NewEvent]:
    """What happened to one thing, in order."""
    return [
        a_fact(clinic_id=clinic_id, aggregate_id=aggregate_id, aggregate_version=version)
        for version in range(1, count + 1)
    ]


class OnTheSpot(Database):
    """A database whose transactions run in the caller's own task: a crash there cuts them too."""

    async def _finished(
        self, once: Callable[[float], Awaitable[T]], deadline: float, *, on_end: Callable[[], None]
    ) -> T:
        try:
            return await once(asyncio.get_running_loop().time() + deadline)
        finally:
            on_end()


class _Cut:
    """Runs an awaitable and throws a cancellation in at the n-th place where it waits."""

    def __init__(self, work: Awaitable[object], place: int) -> None:
        self._work = work
        self._place = place

    def __await__(self) -> Generator[Any, Any, object]:
        steps = self._work.__await__()
        send: Callable[[Any], Any] = steps.send
        value: Any = None
        for place in itertools.count():
            try:
                waiting = steps.throw(asyncio.CancelledError()) if place == self._place else None
                waiting = waiting or send(value)
            except StopIteration as end:
                return end.value
            value = yield waiting
        raise AssertionError("unreachable")


async def crash_at_each_wait(make: Callable[[], Awaitable[object]]) -> int:
    """Run `make()` again and again, cut one wait later each time, until one run is not cut.

    The number of runs that were cut.
    """
    for place in itertools.count():
        try:
            await _Cut(make(), place)
        except asyncio.CancelledError:
            continue
        return place
    raise AssertionError("unreachable")
