"""The road that sends and read marks share: one transaction for all that wait (section 4)."""

from collections.abc import Sequence
from uuid import UUID

from services.chassis.batching import SKIPPED, Batcher, Skipped
from services.chassis.errors import DomainError
from services.conversations.domain.message import Message
from services.conversations.domain.writing import Member
from services.conversations.storage.unit_of_work import Storage

WriteBatcher = Batcher[Member, Message | int]


def write_batcher(storage: Storage) -> WriteBatcher:
    """The process's batcher; a thread that another transaction holds takes the slow lane."""

    async def commit(
        batch: Sequence[Member], wait: bool
    ) -> Sequence[Message | int | DomainError | Skipped]:
        outcomes = await storage.write(batch, wait=wait)
        return [SKIPPED if outcome is None else outcome for outcome in outcomes]

    return Batcher(commit, key=_conversation)


def _conversation(member: Member) -> UUID:
    return member.conversation_id
