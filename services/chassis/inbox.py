"""What a service does with the events of another: claim, handle, retry, and in the end set aside.

Two roads lead to one handler: the bus, which is fast, and the sweep of the publisher's outbox
(`sweep.py`), which brings whatever the bus has lost. Handlers therefore expect repeats: a fact is
claimed in the transaction of its effect, a state is kept by version. A handler gets a batch and
must leave nothing half done: when it raises, the events are tried again one by one, but where what
all of them need is out of reach; `NotAllHandled` spares the others the repeat.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from nats.aio.msg import Msg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import dead_letters
from services.chassis.bus import PullConsumer
from services.chassis.database import Database
from services.chassis.envelope import to_event
from services.chassis.errors import ResourceExhausted, Unavailable
from services.chassis.line import Connection
from services.chassis.logs import get_logger
from services.chassis.outbox import Event
from services.chassis.taken import Taken

MOST_TRIES = 20
MOST_DELAY_SECONDS = 60.0
CLAIM_RETENTION = timedelta(days=14)

Handle = Callable[[Sequence[Event]], Awaitable[None]]

# What all events need is out of reach, or in use: one by one they would fare no better.
_NOT_NOW = (Unavailable, ResourceExhausted)

log = get_logger()


class Malformed(Exception):
    """An event that breaks its contract: no repeat will help."""


class NotAllHandled(Exception):
    """A handler has handled its batch but for some events, each for a reason of its own."""

    def __init__(self, failures: Mapping[UUID, Exception]) -> None:
        super().__init__(f"{len(failures)} events")
        self.failures = failures


_CLAIM = text("""
insert into inbox (clinic_id, consumer, event_id) values (:clinic_id, :consumer, :event_id)
on conflict do nothing returning 1
""")
# In the order given, which is the same for everybody: two batches that overlap wait in no circle.
_CLAIM_ALL = text("""
insert into inbox (clinic_id, consumer, event_id)
select clinic_id, :consumer, event_id
from unnest(cast(:clinics as uuid[]), cast(:ids as uuid[])) as sought (clinic_id, event_id)
on conflict do nothing returning event_id
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


async def claim_all(
    connection: Connection, *, consumer: str, events: Collection[tuple[UUID, UUID]]
) -> frozenset[UUID]:
    """Of these events of clinics, those that nobody had claimed before; as `claim`, for many."""
    ordered = sorted(set(events))
    parameters = {
        "consumer": consumer,
        "clinics": [clinic_id for clinic_id, _ in ordered],
        "ids": [event_id for _, event_id in ordered],
    }
    return frozenset((await connection.execute(_CLAIM_ALL, parameters)).scalars())


class Intake:
    """One consumer's handler, with what becomes of an event that it cannot handle.

    `consumer` names it in the tables of claims and dead letters. `taken` is what came by the bus.
    """

    def __init__(self, *, consumer: str, app: Database, worker: Database, handle: Handle) -> None:
        self.consumer = consumer
        self.taken = Taken()
        self._app = app
        self._worker = worker
        self._handle = handle

    async def take(self, events: Sequence[Event]) -> dict[UUID, Exception]:
        """Handle these; the failures, by event. One event's failure is no other event's."""
        try:
            if events:
                await self._handle(events)
            return {}
        except NotAllHandled as some:
            return self._noted([event for event in events if event.event_id in some.failures], some)
        except _NOT_NOW as error:
            log.warning("events_wait", consumer=self.consumer, count=len(events))
            return {event.event_id: error for event in events}
        except Exception as error:
            if len(events) == 1:
                self._note(events[0], error)
                return {events[0].event_id: error}
        failures: dict[UUID, Exception] = {}
        for event in events:
            failures |= await self.take([event])
        return failures

    def _noted(self, events: Sequence[Event], some: NotAllHandled) -> dict[UUID, Exception]:
        """A line for each event that failed, and one for all that wait."""
        failures = {event.event_id: some.failures[event.event_id] for event in events}
        waiting = [error for error in failures.values() if isinstance(error, _NOT_NOW)]
        if waiting:
            log.warning("events_wait", consumer=self.consumer, count=len(waiting))
        for event in events:
            if not isinstance(failures[event.event_id], _NOT_NOW):
                self._note(event, failures[event.event_id])
        return failures

    def _note(self, event: Event, error: Exception) -> None:
        log.warning(
            "event_not_handled",
            consumer=self.consumer,
            event_id=event.event_id,
            type=event.type,
            exc_info=error,
        )

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
        intake.taken.note(event)
        await message.ack()
        return
    attempts = message.metadata.num_delivered
    if is_final(error, attempts):
        await intake.set_aside(event, error, attempts)
        await message.ack()
    else:
        await message.nak(delay=delay_after(attempts))
