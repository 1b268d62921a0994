"""Everything that one staff member wrote and was written, for export (R44, R46, I26 to I28)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.conversations.domain.export import ExportedThread
from services.conversations.domain.message import Message
from services.conversations.storage.unit_of_work import Storage, Transaction

_THREADS = 50
_MESSAGES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMessages:
    """Goes on in thread `resume_id`, after `resume_sequence`, where those are given."""

    caller: Caller
    staff_id: UUID
    cutoff: datetime
    resume_id: UUID | None
    resume_sequence: int


async def stream_messages(
    command: StreamMessages, *, storage: Storage
) -> AsyncIterator[ExportedThread | Message]:
    """Each thread's head, then its messages, in a stable order; memory stays constant.

    Pages are transactions of their own: what is past the cut-off does not change any more.
    """
    await storage.run(_begin, command)
    after_id, after = _before(command.resume_id), command.resume_sequence
    while threads := await storage.run(_threads, _ThreadsPage(command, after_id)):
        for thread in threads:
            yield thread
            while page := await storage.run(_messages, _MessagesPage(command, thread, after)):
                for message in page:
                    yield message
                after = page[-1].sequence
            after = 0
        after_id = threads[-1].id


def _before(resume_id: UUID | None) -> UUID:
    """The thread that broke off is told again, so reading begins just before it."""
    return UUID(int=resume_id.int - 1) if resume_id is not None and resume_id.int else UUID(int=0)


@dataclass(frozen=True, slots=True)
class _ThreadsPage:
    of: StreamMessages
    after_id: UUID

    @property
    def caller(self) -> Caller:
        return self.of.caller


@dataclass(frozen=True, slots=True)
class _MessagesPage:
    of: StreamMessages
    thread: ExportedThread
    after: int

    @property
    def caller(self) -> Caller:
        return self.of.caller


async def _begin(tx: Transaction, command: StreamMessages) -> None:
    if command.cutoff > tx.now:
        raise InvalidArgument("cutoff_time must have passed", field="cutoff_time")
    await tx.record(action="stream_messages", object_type="staff_member", id=command.staff_id)


async def _threads(tx: Transaction, page: _ThreadsPage) -> Sequence[ExportedThread]:
    return await tx.exports.threads(
        page.of.staff_id, after_id=page.after_id, cutoff=page.of.cutoff, most=_THREADS
    )


async def _messages(tx: Transaction, page: _MessagesPage) -> Sequence[Message]:
    return await tx.exports.messages(
        page.thread, after=page.after, cutoff=page.of.cutoff, most=_MESSAGES
    )
