"""Facts of conversations, many in one transaction: each has the effect that it would have alone.

They commute: a delete may come before its send, a read before what it covers. So what is withdrawn
is marked first, then called off, and what was sent is decided last.
"""

from collections.abc import Sequence

from services.messaging_rule import Side
from services.notifications.domain.delivery import Delivery, Reason, withdraw
from services.notifications.domain.fact import (
    ConversationRead,
    Fact,
    MessageDeleted,
    MessageSent,
    whom,
)
from services.notifications.storage.unit_of_work import Batch
from services.notifications.usecases.decide_deliveries import decide_deliveries


async def take_facts(tx: Batch, facts: Sequence[Fact]) -> None:
    """Once each, however often they come."""
    firsts = await tx.firsts([(fact.clinic_id, fact.event_id) for fact in facts])
    new = list({fact.event_id: fact for fact in facts if fact.event_id in firsts}.values())
    if not new:
        return
    await tx.ledger.lock(whom(fact) for fact in new)
    await _call_off(
        tx,
        deleted=[fact for fact in new if isinstance(fact, MessageDeleted)],
        read=[fact for fact in new if isinstance(fact, ConversationRead)],
    )
    await decide_deliveries(tx, [fact for fact in new if isinstance(fact, MessageSent)])


async def _clear_devices(
    tx: Batch, *, deleted: Sequence[MessageDeleted], read: Sequence[ConversationRead]
) -> None:
    """What was pushed already is taken back (I17)."""
    await tx.clears.want_after_reads([fact for fact in read if fact.recipient.side is Side.PROFILE])
    await tx.clears.want_after_deletes(
        [fact for fact in deleted if fact.recipient.side is Side.PROFILE]
    )


async def _call_off(
    tx: Batch, *, deleted: Sequence[MessageDeleted], read: Sequence[ConversationRead]
) -> None:
    """Nobody is told any more of what was deleted (I16) or read."""
    await tx.messages.mark_deleted(deleted)
    await tx.messages.mark_read(read)
    await _clear_devices(tx, deleted=deleted, read=read)
    moves: dict[object, Delivery] = {}
    for reason, waiting in (
        (Reason.READ, await tx.ledger.waiting_of_threads(read)),
        (Reason.DELETED, await tx.ledger.waiting_of_messages(deleted)),
    ):
        moves |= {delivery.id: withdraw(delivery, reason) for delivery in waiting}
    await tx.save(list(moves.values()))
