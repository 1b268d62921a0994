"""What a service does with the events of another: claim, handle, retry, and in the end set aside.

Two roads lead to one handler: the bus, which is fast, and the sweep of the publisher's outbox,
which brings whatever the bus has lost. Handlers therefore expect repeats: a fact is claimed in the
transaction of its effect, a state is kept by version. A handler gets a batch and must leave
nothing half done: when it raises, the events are tried again one by one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from itertools import takewhile
from uuid import UUID

from nats.aio.msg import Msg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import dead_letters
from services.chassis.bus import PullConsumer
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.envelope import to_event
from services.chassis.errors import OutOfRange, Unavailable
from services.chassis.logs import get_logger
from services.chassis.outbox import Event

MOST_TRIES = 20
MOST_DELAY_SECONDS = 60.0
SWEEP_SECONDS = 30.0
PAUSE_SECONDS = 1.0
CLAIM_RETENTION = timedelta(days=14)
_SETTLED = timedelta(seconds=15)
_SWEEP_PAGE = 500

Handle = Callable[[Sequence[Event]], Awaitable[None]]

log = get_logger()


class Malformed(Exception):
    """An event that breaks its contract: no repeat will help."""


_CLAIM = text("""
insert into inbox (clinic_id, consumer, event_id) values (:clinic_id, :consumer, :event_id)
on conflict do nothing returning 1
""")
_CLAIMED = text("""
select event_id from inbox
join unnest(cast(:clinics as uuid[]), cast(:ids as uuid[])) as sought (clinic_id, event_id)
    using (clinic_id, event_id)
where consumer = :consumer
""")


async def claim(
    connection: AsyncConnection, *, consumer: str, clinic_id: UUID, event_id: UUID
) -> bool:
    """True for the first to claim this fact; in the transaction of its effect, or it is a lie."""
    parameters = {"clinic_id": clinic_id, "consumer": consumer, "event_id": event_id}
    return (await connection.execute(_CLAIM, parameters)).scalar_one_or_none() is not None


class Intake:
    """One consumer's handler, with what becomes of an event that it cannot handle.

    `consumer` names it in the tables of claims and dead letters.
    """

    def __init__(self, *, consumer: str, app: Database, worker: Database, handle: Handle) -> None:
        self.consumer = consumer
        self._app = app
        self._worker = worker
        self._handle = handle

    async def take(self, events: Sequence[Event]) -> dict[UUID, Exception]:
        """Handle these; the failures, by event. One event's failure is no other event's."""
        try:
            if events:
                await self._handle(events)
            return {}
        except Exception as error:
            if len(events) == 1:
                log.warning(
                    "event_not_handled",
                    consumer=self.consumer,
                    event_id=events[0].event_id,
                    type=events[0].type,
                    exc_info=error,
                )
                return {events[0].event_id: error}
        failures: dict[UUID, Exception] = {}
        for event in events:
            failures |= await self.take([event])
        return failures

    async def set_aside(self, event: Event, error: Exception, attempts: int) -> None:
        """Keep the event as a dead letter and claim it, so that neither road brings it again.

        Where it is claimed already, the other road has handled it or set it aside meanwhile.
        """

        async def work(connection: AsyncConnection, _: object) -> bool:
            first = await claim(
                connection,
                consumer=self.consumer,
                clinic_id=event.clinic_id,
                event_id=event.event_id,
            )
            if first:
                await dead_letters.add(
                    connection, event, consumer=self.consumer, error=error, attempts=attempts
                )
            return first

        if await self._app.transact(work, clinics=[event.clinic_id]):
            log.error(
                "event_dead_lettered",
                consumer=self.consumer,
                event_id=event.event_id,
                type=event.type,
                attempts=attempts,
                error=type(error).__name__,
            )

    async def unclaimed(self, events: Sequence[Event]) -> list[Event]:
        """Those that have not been handled; a courtesy that spares the sweep its repeats."""
        parameters = {
            "consumer": self.consumer,
            "clinics": [event.clinic_id for event in events],
            "ids": [event.event_id for event in events],
        }
        found = await self._worker.connect(lambda c: c.execute(_CLAIMED, parameters))
        claimed = set(found.scalars())
        return [event for event in events if event.event_id not in claimed]


def delay_after(attempts: int) -> float:
    """Seconds until the next try: 1, 2, 4 … 60. Never none: that burns all tries in an instant."""
    return min(MOST_DELAY_SECONDS, 2.0 ** (attempts - 1))


def is_final(error: Exception, attempts: int) -> bool:
    return isinstance(error, Malformed) or attempts >= MOST_TRIES


async def take_from_bus(pull: PullConsumer, intake: Intake) -> None:
    """The fast road; runs for ever."""

    async def take(messages: list[Msg]) -> None:
        read = [(message, _read(message)) for message in messages]
        failures = await intake.take([event for _, event in read if event is not None])
        for message, event in read:
            if event is None:
                await message.term()
            else:
                await _settle(intake, message, event, failures.get(event.event_id))

    await pull.run(take)


def _read(message: Msg) -> Event | None:
    """None for what no outbox of ours has sent: there is no event to keep."""
    try:
        return to_event(message)
    except (KeyError, ValueError):
        log.error("message_is_no_event", source=message.subject.split(".")[0])
        return None


async def _settle(intake: Intake, message: Msg, event: Event, error: Exception | None) -> None:
    if error is None:
        await message.ack()
        return
    attempts = message.metadata.num_delivered
    if is_final(error, attempts):
        await intake.set_aside(event, error, attempts)
        await message.ack()
    else:
        await message.nak(delay=delay_after(attempts))


_CURSOR = text("select incarnation, position from sweeps where source = :source")
_MOVE = text("""
insert into sweeps (source, incarnation, position) values (:source, :incarnation, :position)
on conflict (source) do update set incarnation = :incarnation, position = :position
""")
_TRY = text("""
insert into sweep_tries (source, event_id, tries) values (:source, :event_id, 1)
on conflict (source, event_id) do update set tries = sweep_tries.tries + 1 returning tries
""")
_FORGET = text("delete from sweep_tries where source = :source")

# (incarnation, after position) -> events after it; OutOfRange where the position is gone.
ListEvents = Callable[[str, int, int], Awaitable[Sequence[Event]]]
StartAgain = Callable[[OutOfRange], Awaitable[tuple[str, int]]]


class Sweep:
    """Reads the publisher's outbox from the last position, at start and every 30 s.

    `start_again` says where to go on when the position is gone: a consumer of states fills itself
    anew from the current ones, a consumer of facts starts at the oldest row and reports the gap.
    """

    def __init__(
        self,
        intake: Intake,
        worker: Database,
        *,
        source: str,
        list_events: ListEvents,
        start_again: StartAgain,
        clock: Clock,
    ) -> None:
        self._intake = intake
        self._worker = worker
        self._source = source
        self._list_events = list_events
        self._start_again = start_again
        self._clock = clock

    async def run(self) -> None:
        """Sweep for ever; the publisher being out of reach only delays it."""
        while True:
            try:
                while await self.sweep():
                    pass
                await asyncio.sleep(SWEEP_SECONDS)
            except Unavailable:
                await asyncio.sleep(PAUSE_SECONDS)

    async def sweep(self) -> bool:
        """One page; true where there is more."""
        incarnation, position = await self._position()
        try:
            events = await self._list_events(incarnation, position, _SWEEP_PAGE)
        except OutOfRange as gone:
            await self._move(*await self._start_again(gone))
            return True
        before = self._clock() - _SETTLED
        settled = list(takewhile(lambda event: event.occurred_at <= before, events))
        if not settled:
            return False
        stuck = await self._take(settled)
        if stuck is None:
            await self._worker.connect(lambda c: c.execute(_FORGET, {"source": self._source}))
        reached = settled[-1].position if stuck is None else stuck - 1
        if reached > position:
            await self._move(settled[-1].incarnation, reached)
        return stuck is None and len(events) == _SWEEP_PAGE

    async def _take(self, events: Sequence[Event]) -> int | None:
        """Handle what is not handled yet; the first position that must be tried again."""
        unclaimed = await self._intake.unclaimed(events)
        failures = await self._intake.take(unclaimed)
        stuck = [
            event.position
            for event in unclaimed
            if event.event_id in failures
            and not await self._gave_up(event, failures[event.event_id])
        ]
        return min(stuck, default=None)

    async def _gave_up(self, event: Event, error: Exception) -> bool:
        key = {"source": self._source, "event_id": event.event_id}
        tries = await self._worker.connect(lambda c: c.execute(_TRY, key))
        attempts = tries.scalar_one()
        if not is_final(error, attempts):
            return False
        await self._intake.set_aside(event, error, attempts)
        return True

    async def _position(self) -> tuple[str, int]:
        found = await self._worker.connect(lambda c: c.execute(_CURSOR, {"source": self._source}))
        row = found.one_or_none()
        return ("", 0) if row is None else (row.incarnation, row.position)

    async def _move(self, incarnation: str, position: int) -> None:
        parameters = {"source": self._source, "incarnation": incarnation, "position": position}
        await self._worker.connect(lambda c: c.execute(_MOVE, parameters))


async def start_at_oldest(gone: OutOfRange) -> tuple[str, int]:
    """Where a consumer of facts goes on: at the oldest event held; the gap is told."""
    log.error("events_missed", incarnation=gone.metadata["incarnation"])
    return gone.metadata["incarnation"], int(gone.metadata["oldest_position"]) - 1
