"""The badge: unread messages over all the caller's threads (R11, R12, R25)."""

from dataclasses import dataclass

from services.chassis.identity import Caller
from services.conversations.domain.inbox import Unread
from services.conversations.domain.writing import side_of
from services.conversations.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class GetUnreadSummary:
    caller: Caller


async def get_unread_summary(tx: Transaction, command: GetUnreadSummary) -> Unread:
    return await tx.conversations.unread(side_of(command.caller), command.caller.person)
