"""One transaction of this service, and the only door to its stores."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import inbox, outbox
from services.chassis.database import Database
from services.chassis.identity import Caller
from services.directory_replica.gate import Gate
from services.directory_replica.replica import Replica
from services.notifications.domain.delivery import Delivery, Recipient
from services.notifications.storage.deliveries import Deliveries
from services.notifications.storage.devices import Devices
from services.notifications.storage.events import delivery_updated
from services.notifications.storage.messages import Messages
from services.notifications.storage.people import NotHeld, People
from services.notifications.storage.suppressions import Suppressions

CONSUMER = "notifications-conversations"

_LOCK = text("select pg_advisory_xact_lock(:key)")
# A clinic and a recipient may be missing, one after the other.
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


@dataclass(frozen=True, slots=True)
class Transaction:
    """The stores of one transaction, scoped to one clinic; `now` is when it began."""

    connection: AsyncConnection
    clinic_id: UUID
    now: datetime
    deliveries: Deliveries
    messages: Messages
    people: People
    suppressions: Suppressions
    devices: Devices

    async def is_first(self, event_id: UUID) -> bool:
        """Claim a fact: true once, for the transaction that commits."""
        return await inbox.claim(
            self.connection, consumer=CONSUMER, clinic_id=self.clinic_id, event_id=event_id
        )

    async def lock(self, recipient: Recipient) -> None:
        """One transaction at a time decides and moves what concerns this person.

        A statement of its own: what follows sees what committed while the lock was awaited.
        """
        await self.connection.execute(_LOCK, {"key": _lock_key(self.clinic_id, recipient)})

    async def add(self, delivery: Delivery) -> None:
        """Write a first decision; a repeat of it changes nothing."""
        if await self.deliveries.add(delivery):
            await self._tell([delivery])

    async def save(self, deliveries: Sequence[Delivery]) -> None:
        """Write moves, and tell of those that are settled by them."""
        await self.deliveries.save(deliveries)
        await self._tell(deliveries)

    async def _tell(self, deliveries: Sequence[Delivery]) -> None:
        settled = [delivery for delivery in deliveries if delivery.is_settled]
        await outbox.add(
            self.connection, [delivery_updated(delivery, self.now) for delivery in settled]
        )


class Storage:
    """Transactions for use cases; `committed` is told after each."""

    def __init__(
        self, database: Database, replica: Replica, *, committed: Callable[[], None]
    ) -> None:
        self._database = database
        self._replica = replica
        self._gate = Gate(database, replica)
        self._committed = committed

    async def run(self, work: Callable[[Transaction, CC], Awaitable[R]], command: CC) -> R:
        """`work(tx, command)` in one transaction of the caller's clinic and session."""

        async def body(connection: AsyncConnection, now: datetime) -> R:
            return await work(_transaction(connection, command.caller.clinic, now), command)

        return await self._gate.run(command.caller, body)

    async def act(self, work: Callable[[Transaction, OC], Awaitable[R]], command: OC) -> R:
        """`work(tx, command)` in one transaction, on this service's own behalf.

        Runs again where the database asks for that, and where the replica lacked a state that
        the directory then gave. Raises NotHeld where the directory has none either, Unavailable
        where it is out of reach.
        """

        async def body(connection: AsyncConnection, now: datetime) -> R:
            return await work(_transaction(connection, command.clinic_id, now), command)

        for _ in range(_LOOK_UPS):
            try:
                return await self._acted(body, command.clinic_id)
            except NotHeld as missing:
                if not await self._replica.look_up(command.clinic_id, missing.kind, missing.id):
                    raise
        return await self._acted(body, command.clinic_id)

    async def _acted(
        self, body: Callable[[AsyncConnection, datetime], Awaitable[R]], clinic_id: UUID
    ) -> R:
        result = await self._database.transact(body, clinics=[clinic_id])
        self._committed()
        return result


def _transaction(connection: AsyncConnection, clinic_id: UUID, now: datetime) -> Transaction:
    return Transaction(
        connection=connection,
        clinic_id=clinic_id,
        now=now,
        deliveries=Deliveries(connection, clinic_id),
        messages=Messages(connection, clinic_id),
        people=People(connection, clinic_id),
        suppressions=Suppressions(connection, clinic_id),
        devices=Devices(connection, clinic_id),
    )


def _lock_key(clinic_id: UUID, recipient: Recipient) -> int:
    """The 64-bit key of a recipient's advisory lock."""
    digest = hashlib.blake2b(
        clinic_id.bytes + recipient.id.bytes, digest_size=8, person=b"mail-recipient"
    )
    return int.from_bytes(digest.digest(), signed=True)
