"""The badges of several people, for a push (R11, R25)."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.conversations.domain.inbox import Unread
from services.conversations.storage.unit_of_work import Transaction
from services.messaging_rule import Side

MOST_PEOPLE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchGetUnread:
    caller: Caller
    people: Sequence[tuple[Side, UUID]]


async def batch_get_unread(tx: Transaction, command: BatchGetUnread) -> Sequence[Unread]:
    """One number a person, in the order asked for."""
    if len(command.people) > MOST_PEOPLE:
        raise InvalidArgument(f"at most {MOST_PEOPLE} people at once", field="people")
    return [await tx.conversations.unread(side, id) for side, id in command.people]
