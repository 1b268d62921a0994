"""One transaction of this service, and the only door to its stores."""

import hmac
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import audit, requests
from services.chassis.database import Database
from services.chassis.errors import Unavailable
from services.chassis.identity import Caller
from services.chassis.keys import derive
from services.directory_replica.gate import Gate
from services.directory_replica.replica import Replica
from services.directory_replica.states import ClinicState, StaffState
from services.export.domain.errors import OwnerRequired
from services.export.storage.exports import Exports
from services.export.storage.people import People


class Command(Protocol):
    @property
    def caller(self) -> Caller: ...


C = TypeVar("C", bound=Command)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Transaction:
    """The stores of one transaction, scoped to the caller's clinic; `now` is when it began."""

    connection: AsyncConnection
    caller: Caller
    now: datetime
    exports: Exports
    people: People

    async def note(self, action: str, export_id: UUID) -> None:
        """Who did what to an export, in the transaction that does it."""
        record = audit.Record(action=action, object_type="export", object_id=export_id)
        await audit.add(self.connection, self.caller, self.caller.clinic, record)

    async def earlier_result(
        self, request_id: UUID, *, method: str, content: str, result_id: UUID
    ) -> UUID | None:
        """What an earlier try of this request made, or None for the first."""
        return await requests.claim(
            self.connection,
            self.caller,
            request_id,
            method=method,
            content=content,
            result_id=result_id,
        )


class Storage:
    """Transactions for use cases; `committed` is told after each."""

    def __init__(
        self,
        database: Database,
        replica: Replica,
        *,
        sealing_key: bytes,
        committed: Callable[[], None],
    ) -> None:
        self._replica = replica
        self._gate = Gate(database, replica)
        self._address_key = derive(sealing_key, "addresses of requesters 1")
        self._committed = committed

    async def run(self, work: Callable[[Transaction, C], Awaitable[R]], command: C) -> R:
        """`work(tx, command)` in one transaction of the caller's clinic and session.

        Commits when it returns, rolls back when it raises, and runs it again where the database
        asks for that (40001): it must do nothing outside the transaction.
        """
        caller = command.caller

        async def body(connection: AsyncConnection, now: datetime) -> R:
            return await work(_transaction(connection, caller, now), command)

        try:
            result = await self._gate.run(caller, body)
        except OwnerRequired:
            # Whoever became owner a moment ago is not refused because the news is late.
            with suppress(Unavailable):
                await self._replica.look_up(caller.clinic, StaffState, caller.person)
            result = await self._gate.run(caller, body)
        self._committed()
        return result

    async def clinic_exists(self, clinic_id: UUID) -> bool:
        """Asked of the directory. Raises Unavailable."""
        return await self._replica.look_up(clinic_id, ClinicState, clinic_id)

    async def staff_member_exists(self, clinic_id: UUID, staff_id: UUID) -> bool:
        """Asked of the directory, whose state of them is held from then on. Raises Unavailable."""
        return await self._replica.look_up(clinic_id, StaffState, staff_id)

    def address_hash(self, clinic_id: UUID, address: str) -> bytes:
        """What is kept of an address, which can only be guessed by who has the sealing key."""
        return hmac.digest(self._address_key, clinic_id.bytes + address.encode(), "sha256")


def _transaction(connection: AsyncConnection, caller: Caller, now: datetime) -> Transaction:
    return Transaction(
        connection=connection,
        caller=caller,
        now=now,
        exports=Exports(connection, caller.clinic),
        people=People(connection, caller.clinic),
    )
