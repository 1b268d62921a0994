"""One transaction of this service, and the only door to its stores."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from services.chassis import audit, inbox, outbox, requests
from services.chassis.batching import Batcher
from services.chassis.database import Database, scope
from services.chassis.errors import DomainError, Unavailable
from services.chassis.identity import Caller
from services.chassis.line import Connection, Talk
from services.directory_replica.gate import Gate
from services.directory_replica.replica import Replica
from services.notifications.domain.delivery import Channel, Delivery, Recipient, Whom
from services.notifications.domain.device import DeviceAddress
from services.notifications.storage.clears import Clears
from services.notifications.storage.deliveries import Deliveries
from services.notifications.storage.devices import Devices, devices_of
from services.notifications.storage.events import delivery_updated
from services.notifications.storage.ledger import Ledger
from services.notifications.storage.messages import Messages
from services.notifications.storage.people import Missing, NotHeld, People
from services.notifications.storage.suppressions import Suppressions

CONSUMER = "notifications-conversations"

# What is looked up may be gone again before it is used.
_LOOK_UPS = 2


class CallersCommand(Protocol):
    @property
    def caller(self) -> Caller: ...


class ClinicsCommand(Protocol):
    @property
    def clinic_id(self) -> UUID: ...


CC = TypeVar("CC", bound=CallersCommand)
OC = TypeVar("OC", bound=ClinicsCommand)
R = TypeVar("R")
Body = Callable[[Connection, datetime], Awaitable[tuple[R, Ledger]]]


@dataclass(frozen=True, slots=True)
class Batch:
    """The stores of one transaction over some clinics; `now` is when it began."""

    connection: Connection
    now: datetime
    ledger: Ledger
    messages: Messages
    people: People
    clears: Clears

    async def firsts(self, events: Collection[tuple[UUID, UUID]]) -> frozenset[UUID]:
        """Claim facts of clinics: those that this is the first to claim, if it commits."""
        return await inbox.claim_all(self.connection, consumer=CONSUMER, events=events)

    async def add(self, deliveries: Sequence[Delivery], *, traces: Mapping[UUID, str]) -> None:
        """Write first decisions, each with the trace of its message; a repeat changes nothing."""
        await self._tell(await self.ledger.add(deliveries), traces)

    async def save(
        self, deliveries: Sequence[Delivery], *, traces: Mapping[UUID, str] | None = None
    ) -> None:
        """Write moves, and tell of those that are settled by them."""
        await self.ledger.save(deliveries)
        await self._tell(deliveries, traces or {})

    async def _tell(self, deliveries: Sequence[Delivery], traces: Mapping[UUID, str]) -> None:
        settled = [delivery for delivery in deliveries if delivery.is_settled]
        events = [
            delivery_updated(delivery, self.now, trace=traces.get(delivery.message.id, ""))
            for delivery in settled
        ]
        await outbox.add(self.connection, events)

    async def devices_of(
        self, profiles: Collection[Whom]
    ) -> Mapping[Whom, Sequence[DeviceAddress]]:
        """Where pushes to these profiles go."""
        return await devices_of(self.connection, profiles) if profiles else {}

    async def drop_devices(self, devices: Collection[DeviceAddress]) -> None:
        """Their provider knows them no more."""
        for clinic_id in {device.clinic_id for device in devices}:
            of_clinic = [device for device in devices if device.clinic_id == clinic_id]
            await Devices(self.connection, clinic_id).drop(of_clinic)

    def suppressions_of(self, clinic_id: UUID) -> Suppressions:
        return Suppressions(self.connection, clinic_id)


@dataclass(frozen=True, slots=True)
class Transaction:
    """The stores of one transaction, scoped to one clinic; `now` is when it began."""

    connection: Connection
    clinic_id: UUID
    now: datetime
    batch: Batch
    deliveries: Deliveries
    suppressions: Suppressions
    devices: Devices

    async def lock(self, recipient: Recipient) -> None:
        """One transaction at a time decides and moves what concerns this person.

        What follows sees what committed while the lock was awaited.
        """
        await self.batch.ledger.lock([Whom(self.clinic_id, recipient)])

    async def save(self, deliveries: Sequence[Delivery]) -> None:
        """Write moves, and tell of those that are settled by them."""
        await self.batch.save(deliveries)

    async def note(self, caller: Caller, action: str, object_type: str, id: UUID) -> None:
        """Who did what, in the transaction that does it."""
        record = audit.Record(action=action, object_type=object_type, object_id=id)
        await audit.add(self.connection, caller, self.clinic_id, record)

    async def known_result(
        self, caller: Caller, request_id: UUID, *, method: str, content: str
    ) -> UUID | None:
        """What this request has made, where it is claimed only when its work is done."""
        return await requests.find(
            self.connection, caller, request_id, method=method, content=content
        )

    async def earlier_result(
        self, caller: Caller, request_id: UUID, *, method: str, content: str, result_id: UUID
    ) -> UUID | None:
        """What an earlier try of this request made, or None for the first."""
        return await requests.claim(
            self.connection,
            caller,
            request_id,
            method=method,
            content=content,
            result_id=result_id,
        )


class Storage:
    """Transactions for use cases; `fell_due` is told after those that left something due."""

    def __init__(
        self,
        database: Database,
        replica: Replica,
        *,
        fell_due: Callable[[Collection[Channel]], None],
    ) -> None:
        self._database = database
        self._replica = replica
        self._gate = Gate(database, replica)
        self._fell_due = fell_due

    async def run(self, work: Callable[[Transaction, CC], Awaitable[R]], command: CC) -> R:
        """`work(tx, command)` in one transaction of the caller's clinic and session.

        Runs again where the replica lacked states that the directory then gave. Raises Unavailable
        where they could not be had.
        """

        async def body(connection: Connection, now: datetime) -> tuple[R, Ledger]:
            tx = _transaction(connection, command.caller.clinic, now)
            return await work(tx, command), tx.batch.ledger

        for _ in range(_LOOK_UPS):
            try:
                return self._told(await self._gate.run(command.caller, body))
            except NotHeld as lacking:
                await self._look_up_for_caller(lacking)
        return self._told(await self._gate.run(command.caller, body))

    async def act(self, work: Callable[[Transaction, OC], Awaitable[R]], command: OC) -> R:
        """`work(tx, command)` in one transaction, on this service's own behalf.

        Runs again where the database asks for that, and where the replica lacked states that the
        directory then gave. Raises NotHeld where they could not be had.
        """

        async def body(connection: Connection, now: datetime) -> tuple[R, Ledger]:
            tx = _transaction(connection, command.clinic_id, now)
            return await work(tx, command), tx.batch.ledger

        return await self._acted(body, {command.clinic_id})

    async def act_on_all(
        self, work: Callable[[Batch, Sequence[OC]], Awaitable[R]], commands: Sequence[OC]
    ) -> R:
        """As `act`, for many commands of any clinics in one transaction."""

        async def body(connection: Connection, now: datetime) -> tuple[R, Ledger]:
            tx = _batch(connection, now)
            return await work(tx, commands), tx.ledger

        return await self._acted(body, {command.clinic_id for command in commands})

    def together(
        self, work: Callable[[Batch, Sequence[OC]], Awaitable[Sequence[R]]]
    ) -> Callable[[OC], Awaitable[R]]:
        """`work` for one command at a time, each in a transaction with those that wait for the
        same. A command that breaks its transaction breaks no other's."""

        async def commit(commands: Sequence[OC], _: bool) -> Sequence[R]:
            return await self.act_on_all(work, commands)

        return Batcher(commit, key=_clinic_of).submit

    async def _acted(self, body: Body[R], clinics: Collection[UUID]) -> R:
        async def work(talk: Talk) -> tuple[R, Ledger]:
            [[began]] = await talk.ask(scope(clinics))
            return await body(talk, began.transaction_timestamp)

        for _ in range(_LOOK_UPS):
            try:
                return self._told(await self._database.talk(work, waits=True))
            except NotHeld as lacking:
                await self._look_up(lacking)
        return self._told(await self._database.talk(work, waits=True))

    def _told(self, done: tuple[R, Ledger]) -> R:
        result, ledger = done
        if ledger.due:
            self._fell_due(ledger.due)
        return result

    async def _look_up_for_caller(self, lacking: NotHeld) -> None:
        try:
            await self._look_up(lacking)
        except NotHeld as missing:
            raise Unavailable("What the rules ask about could not be had") from missing

    async def _look_up(self, lacking: NotHeld) -> None:
        """Raises NotHeld with the reason of each that cannot be had."""
        missing = list(lacking.missing)
        tried = await asyncio.gather(*(self._refusal(each) for each in missing))
        reasons = {
            each: reason for each, reason in zip(missing, tried, strict=True) if reason is not None
        }
        if reasons:
            raise NotHeld(reasons.keys(), reasons) from lacking

    async def _refusal(self, missing: Missing) -> Exception | None:
        """None where the replica now holds it."""
        try:
            found = await self._replica.look_up(missing.clinic_id, missing.kind, missing.id)
        except DomainError as error:
            return error
        return None if found else NotHeld([missing])


def _clinic_of(command: ClinicsCommand) -> UUID:
    return command.clinic_id


def _batch(connection: Connection, now: datetime) -> Batch:
    return Batch(
        connection=connection,
        now=now,
        ledger=Ledger(connection, now),
        messages=Messages(connection),
        people=People(connection),
        clears=Clears(connection),
    )


def _transaction(connection: Connection, clinic_id: UUID, now: datetime) -> Transaction:
    return Transaction(
        connection=connection,
        clinic_id=clinic_id,
        now=now,
        batch=_batch(connection, now),
        deliveries=Deliveries(connection, clinic_id),
        suppressions=Suppressions(connection, clinic_id),
        devices=Devices(connection, clinic_id),
    )
