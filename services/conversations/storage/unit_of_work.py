"""One transaction of this service, and the only door to its stores."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import outbox, requests
from services.chassis.database import Database
from services.chassis.identity import Caller
from services.chassis.outbox import NewEvent
from services.conversations.domain.writing import Member, Outcome, decide
from services.conversations.storage import write_batch
from services.conversations.storage.conversations import Conversations
from services.conversations.storage.messages import Messages
from services.conversations.storage.people import PeopleStore
from services.conversations.storage.texts import Texts
from services.directory_replica.fence import share_fence
from services.directory_replica.gate import Gate
from services.messaging_rule import Side


class Command(Protocol):
    @property
    def caller(self) -> Caller: ...


C = TypeVar("C", bound=Command)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Transaction:
    """The stores of one transaction, scoped to the caller's clinic.

    `now` is when the transaction began: on arrival, before any lock (I18).
    """

    connection: AsyncConnection
    caller: Caller
    now: datetime
    conversations: Conversations
    messages: Messages
    people: PeopleStore

    async def publish(self, *events: NewEvent) -> None:
        await outbox.add(self.connection, events)

    async def share_fence(self) -> None:
        """From here to the end, no confirmed change of the clinic's facts can be missed (I38)."""
        await share_fence(self.connection, self.caller.clinic)

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
    """Transactions for use cases; `committed` is told after each, for the sequencer."""

    def __init__(
        self, database: Database, gate: Gate, texts: Texts, *, committed: Callable[[], None]
    ) -> None:
        self._database = database
        self._gate = gate
        self._texts = texts
        self._committed = committed

    async def run(self, work: Callable[[Transaction, C], Awaitable[R]], command: C) -> R:
        """`work(tx, command)` in one transaction of the caller's clinic and session.

        Commits when it returns, rolls back when it raises, and runs it again where the database
        asks for that (40001): it must do nothing outside the transaction.
        """

        async def body(connection: AsyncConnection, now: datetime) -> R:
            return await work(self._transaction(connection, command.caller, now), command)

        result = await self._gate.run(command.caller, body)
        self._committed()
        return result

    def _transaction(
        self, connection: AsyncConnection, caller: Caller, now: datetime
    ) -> Transaction:
        messages = Messages(connection, self._texts)
        return Transaction(
            connection=connection,
            caller=caller,
            now=now,
            conversations=Conversations(connection, caller.clinic, messages),
            messages=messages,
            people=PeopleStore(connection, caller.clinic),
        )

    def fingerprint(self, conversation_id: UUID, side: Side, body: str) -> bytes:
        """What tells a repeat of a send from a reuse of its request id (I34)."""
        return self._texts.fingerprint(conversation_id, side, body)

    async def write(self, batch: Sequence[Member], *, wait: bool) -> Sequence[Outcome]:
        """One group commit: load a batch, decide it, store what changes; each member's outcome."""
        clinics = {member.caller.clinic for member in batch}
        keys = {clinic_id: await self._texts.current_key(clinic_id) for clinic_id in clinics}

        async def body(connection: AsyncConnection) -> Sequence[Outcome]:
            loaded, now = await write_batch.load(connection, batch, wait=wait)
            decided = decide(loaded, now=now)
            await write_batch.store(
                connection, decided.threads.values(), texts=self._texts, keys=keys, now=now
            )
            return decided.outcomes

        outcomes = await self._database.connect(body)
        self._committed()
        return outcomes
