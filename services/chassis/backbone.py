"""The parts that every service's process has: databases, bus, sequencer, relay, retention."""

import asyncio
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import audit, dead_letters, retention
from services.chassis.bus import Bus, PullConsumer
from services.chassis.client import Signer
from services.chassis.clock import system_clock
from services.chassis.database import Database
from services.chassis.dead_letters import DeadLetter
from services.chassis.errors import Unavailable
from services.chassis.identity import Caller
from services.chassis.inbox import Intake, take_from_bus
from services.chassis.interceptors.authentication import Verifier
from services.chassis.lifecycle import Check, Close, Task
from services.chassis.limits import TokenBucket
from services.chassis.outbox import Sequencer
from services.chassis.progress import measure
from services.chassis.relay import Refused, Relay
from services.chassis.schema import current_revision, newest_revision
from services.chassis.settings import ChassisSettings
from services.chassis.sweep import ListEvents, StartAgain, Sweep

_WORKER_CONNECTIONS = 4


class Backbone:
    """Built once by a service's `app.py`, which adds what is its own.

    `on_positioned` handlers are called after a sequencer, of this process or another copy, gave new
    positions.
    """

    def __init__(self, name: str, settings: ChassisSettings) -> None:
        self.name = name
        self._settings = settings
        self.app = Database(settings.database_url.reveal(), size=settings.pool_size, name=name)
        self.worker = Database(
            settings.worker_database_url.reveal(),
            size=_WORKER_CONNECTIONS,
            name=f"{name} worker",
            replan=True,
        )
        self.bus = Bus(settings.nats_url.reveal(), service=name, replicas=settings.nats_replicas)
        self.signer = Signer(settings.signing_key, audience=settings.token_audience)
        self._sequencer = Sequencer(
            self.worker, positioned=self._positioned, noticed=self._wake_readers
        )
        self._relay = Relay(self.worker, source=name, publish=self.bus.publish_all)
        for database in (self.app, self.worker):
            database.on_events.append(self._sequencer.committed.set)
        self.on_positioned: list[Callable[[], None]] = [self._relay.positioned.set]
        self.bus.on_wake(name, self._wake_readers)
        self._denials = TokenBucket(rate=1, burst=20, clock=system_clock)
        self._intakes: dict[str, Intake] = {}
        self._wakes: set[asyncio.Task[None]] = set()
        self.tasks: dict[str, Task] = {
            "bus": self.bus.run,
            "sequencer": self._sequencer.run,
            "relay": self._relay.run,
            "retention": lambda: retention.run(self.worker),
            "progress": lambda: measure(self.worker),
        }
        self.ready: dict[str, Check] = {"database": self._database_is_ready}
        self.close: list[Close] = [self.bus.close, self.app.close, self.worker.close]

    def verifier(self) -> Verifier:
        """Who may call, by the key files of the settings."""
        return Verifier(
            issuer=self._settings.token_issuer,
            audience=self._settings.token_audience,
            issuer_jwks=self._settings.issuer_jwks,
            callers_jwks=self._settings.callers_jwks,
            development=self._settings.development,
        )

    async def note_denial(self, caller: Caller, method: str, reason: str) -> None:
        """Keep an audit record of a refusal, as the guard reports it; some a second of each
        caller, so that nobody fills the table by asking."""
        if self._denials.take(caller.actor) == 0:
            await audit.note_denial(self.app, caller, method, reason)

    def consume(
        self, intake: Intake, *, source: str, list_events: ListEvents, start_again: StartAgain
    ) -> None:
        """Add both roads of a consumer of another service's events."""
        pull = PullConsumer(self.bus, source=source, durable=f"{self.name}-{source}")
        sweep = Sweep(
            intake,
            self.worker,
            source=source,
            list_events=list_events,
            start_again=start_again,
            clock=system_clock,
        )
        self._intakes[intake.consumer] = intake
        self.tasks[f"{source} events"] = lambda: take_from_bus(pull, intake)
        self.tasks[f"{source} sweep"] = sweep.run

    async def replay(self, letter: DeadLetter) -> Exception | None:
        """Hand a dead letter's event over once more; what stood in its way, or None."""
        if letter.consumer == dead_letters.RELAY:
            return await self._publish_again(letter)
        intake = self._intakes.get(letter.consumer)
        if intake is None:
            return Unavailable("this release has no such consumer")
        await self.worker.connect(lambda connection: dead_letters.release(connection, letter))
        failures = await intake.take([letter.event])
        return failures.get(letter.event.event_id)

    async def _publish_again(self, letter: DeadLetter) -> Exception | None:
        try:
            await self.bus.publish(letter.event)
        except (Unavailable, Refused) as error:
            return error
        return None

    def _positioned(self) -> None:
        self._wake_readers()
        wake = asyncio.create_task(self.bus.wake())
        self._wakes.add(wake)
        wake.add_done_callback(self._wakes.discard)

    def _wake_readers(self) -> None:
        for wake in self.on_positioned:
            wake()

    async def _database_is_ready(self) -> str | None:
        wanted = newest_revision(self.name)

        async def read(connection: AsyncConnection) -> str | None:
            return await connection.run_sync(current_revision)

        await self.app.check()
        found = await self.worker.connect(read)
        if found == wanted:
            return None
        return f"its schema is {found or 'empty'} and this release needs {wanted}: run migrate"
