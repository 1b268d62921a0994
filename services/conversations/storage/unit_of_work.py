"""One transaction of this service, and the only door to its stores."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import audit, outbox, requests
from services.chassis.batching import SKIPPED, Batcher, Skipped
from services.chassis.database import Database
from services.chassis.errors import DomainError
from services.chassis.identity import Caller
from services.chassis.interceptors.deadline import elapsed
from services.chassis.line import Talk
from services.chassis.outbox import NewEvent
from services.chassis.telemetry import current_traceparent
from services.conversations.domain.message import Message
from services.conversations.domain.writing import Mark, Member, Outcome, Send, decide
from services.conversations.storage import write_batch
from services.conversations.storage.confirm import confirmed
from services.conversations.storage.conversations import Conversations
from services.conversations.storage.exports import Exports
from services.conversations.storage.messages import Messages
from services.conversations.storage.people import PeopleStore
from services.conversations.storage.texts import Texts
from services.conversations.storage.views import Views
from services.directory_replica.fence import share_fence
from services.directory_replica.gate import Gate
from services.directory_replica.replica import Replica
from services.messaging_rule import Side


class Command(Protocol):
    @property
    def caller(self) -> Caller: ...


C = TypeVar("C", bound=Command)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Transaction:
    """The stores of one transaction, scoped to the caller's clinic.

    `now` is when the transaction began, `arrived_at` when the call reached this process, by the
    database's clock: whatever it waited for costs its caller nothing (I18).
    """

    connection: AsyncConnection
    caller: Caller
    now: datetime
    arrived_at: datetime
    conversations: Conversations
    messages: Messages
    people: PeopleStore
    exports: Exports

    async def publish(self, *events: NewEvent) -> None:
        await outbox.add(self.connection, events)

    async def record(self, *, action: str, object_type: str, id: UUID) -> None:
        """An audit row of what this transaction does."""
        record = audit.Record(action=action, object_type=object_type, object_id=id)
        await audit.add(self.connection, self.caller, self.caller.clinic, record)

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
    """Transactions for use cases; `started` is to be called when threads may have begun."""

    def __init__(
        self,
        database: Database,
        replica: Replica,
        texts: Texts,
        *,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        self.started = started
        self._database = database
        self._replica = replica
        self._gate = Gate(database, replica)
        self._texts = texts
        self.views = Views(self._gate, texts)
        self._batcher: Batcher[Member, Message | int] = Batcher(self._commit, key=_conversation_of)

    async def run(self, work: Callable[[Transaction, C], Awaitable[R]], command: C) -> R:
        """`work(tx, command)` in one transaction of the caller's clinic and session.

        Commits when it returns, rolls back when it raises, and runs it again where the database
        asks for that (40001): it must do nothing outside the transaction. A refusal that rests on
        the replica is confirmed by the directory, and `work` tried again, before it is given.
        """

        async def body(connection: AsyncConnection, now: datetime) -> R:
            return await work(self._transaction(connection, command.caller, now), command)

        return await confirmed(
            command.caller, lambda: self._gate.run(command.caller, body), self._replica
        )

    async def send(self, send: Send) -> Message:
        """The group commit's outcome for one message; durable when it returns (P1)."""
        traced = replace(send, trace=current_traceparent())
        message = await confirmed(send.caller, lambda: self._batcher.submit(traced), self._replica)
        assert isinstance(message, Message)
        return message

    async def mark(self, mark: Mark) -> int:
        """The group commit's outcome for one read mark: what remains unread in the thread."""
        unread = await confirmed(mark.caller, lambda: self._batcher.submit(mark), self._replica)
        assert isinstance(unread, int)
        return unread

    def fingerprint(self, conversation_id: UUID, side: Side, body: str) -> bytes:
        """What tells a repeat of a send from a reuse of its request id (I34)."""
        return self._texts.fingerprint(conversation_id, side, body)

    def _transaction(
        self, connection: AsyncConnection, caller: Caller, now: datetime
    ) -> Transaction:
        return Transaction(
            connection=connection,
            caller=caller,
            now=now,
            arrived_at=now - timedelta(seconds=elapsed()),
            conversations=Conversations(connection, caller.clinic, self._texts),
            messages=Messages(connection, self._texts),
            people=PeopleStore(connection, caller.clinic),
            exports=Exports(connection, caller.clinic, self._texts),
        )

    async def _commit(
        self, batch: Sequence[Member], wait: bool
    ) -> Sequence[Message | int | DomainError | Skipped]:
        """One group commit: load a batch, decide each member on its own, store what changes."""
        clinics = {member.caller.clinic for member in batch}
        keys = {clinic_id: await self._texts.current_key(clinic_id) for clinic_id in clinics}

        async def body(talk: Talk) -> Sequence[Outcome]:
            loaded, now = await write_batch.load(talk, batch, wait=wait)
            decided = decide(loaded, now=now)
            await write_batch.store(
                talk, decided.threads.values(), texts=self._texts, keys=keys, now=now
            )
            return decided.outcomes

        outcomes = await self._database.talk(body, waits=wait)
        return [SKIPPED if outcome is None else outcome for outcome in outcomes]


def _conversation_of(member: Member) -> UUID:
    return member.conversation_id
