"""The facts of conversations, a batch at a time. They commute: a delete may come before its send,
and each is claimed in the transaction of its effect."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from clinic.conversations.v1 import conversations_events_pb2 as events
from clinic.conversations.v1 import message_pb2
from services.chassis.clock import Clock, system_clock
from services.chassis.inbox import Malformed, NotAllHandled
from services.chassis.outbox import Event
from services.chassis.telemetry import continue_trace
from services.chassis.wire import UNREADABLE, to_time
from services.messaging_rule import Side
from services.notifications.domain.delivery import Recipient
from services.notifications.domain.fact import (
    ConversationRead,
    Fact,
    MessageDeleted,
    MessageSent,
)
from services.notifications.domain.message import Message
from services.notifications.storage.people import NotHeld
from services.notifications.storage.unit_of_work import Storage
from services.notifications.usecases.take_facts import take_facts

_SIDES = {message_pb2.SIDE_STAFF: Side.STAFF, message_pb2.SIDE_PROFILE: Side.PROFILE}

_Payload = events.MessageSent | events.MessageDeleted | events.ConversationRead


# Far more than events are kept, and than support looks back.
LEDGER_KEPT = timedelta(days=400)


def handler(
    storage: Storage, *, kept: timedelta = LEDGER_KEPT, clock: Clock = system_clock
) -> Callable[[Sequence[Event]], Awaitable[None]]:
    """What the intake hands batches to. Types that nobody is told of are passed over, and messages
    so old that the ledger may have forgotten what became of them."""

    async def handle(batch: Sequence[Event]) -> None:
        facts, failures = _read(batch)
        oldest = clock() - kept
        failures |= await _take([fact for fact in facts if not _sent_before(fact, oldest)], storage)
        if failures:
            raise NotAllHandled(failures)

    return handle


async def _take(facts: Sequence[Fact], storage: Storage) -> dict[UUID, Exception]:
    """Those that need what the directory does not have, or cannot be asked for, hold up nobody
    else."""
    failures: dict[UUID, Exception] = {}
    while waiting := [fact for fact in facts if fact.event_id not in failures]:
        try:
            await storage.act_on_all(take_facts, waiting)
            break
        except NotHeld as lacking:
            failed = {fact.event_id: _reason(fact, lacking) for fact in waiting}
            found = {id: reason for id, reason in failed.items() if reason is not None}
            if not found:
                raise
            failures |= found
    return failures


def _reason(fact: Fact, lacking: NotHeld) -> Exception | None:
    """Why what this fact needs cannot be had, or None where all is there."""
    needed = {(fact.clinic_id, fact.clinic_id), (fact.clinic_id, fact.recipient.id)}
    return next(
        (
            lacking.reasons.get(missing, lacking)
            for missing in lacking.missing
            if (missing.clinic_id, missing.id) in needed
        ),
        None,
    )


def _sent_before(fact: Fact, oldest: datetime) -> bool:
    return isinstance(fact, MessageSent) and fact.message.sent_at < oldest


def _read(batch: Sequence[Event]) -> tuple[list[Fact], dict[UUID, Exception]]:
    """The facts, and those that break their contract."""
    facts: list[Fact] = []
    failures: dict[UUID, Exception] = {}
    for event in batch:
        if (to_fact := _TO_FACT.get(event.type)) is not None:
            try:
                facts.append(to_fact(event))
            except (*UNREADABLE, KeyError) as error:
                failures[event.event_id] = _malformed(event, error)
    return facts, failures


def _malformed(event: Event, error: Exception) -> Malformed:
    malformed = Malformed(event.type)
    malformed.__cause__ = error
    return malformed


def _to_message_sent(event: Event) -> MessageSent:
    payload = events.MessageSent.FromString(event.payload)
    return MessageSent(
        clinic_id=event.clinic_id,
        event_id=event.event_id,
        trace=continue_trace(event.trace),
        message=Message(
            id=UUID(payload.message_id),
            conversation_id=UUID(payload.conversation_id),
            sequence=payload.sequence,
            sent_at=to_time(payload.send_time),
        ),
        recipient=_person(payload, _SIDES[payload.sender_side].other),
    )


def _to_message_deleted(event: Event) -> MessageDeleted:
    payload = events.MessageDeleted.FromString(event.payload)
    return MessageDeleted(
        clinic_id=event.clinic_id,
        event_id=event.event_id,
        trace=continue_trace(event.trace),
        message_id=UUID(payload.message_id),
        recipient=_person(payload, _SIDES[payload.sender_side].other),
        deleted_at=to_time(payload.delete_time),
    )


def _to_conversation_read(event: Event) -> ConversationRead:
    payload = events.ConversationRead.FromString(event.payload)
    return ConversationRead(
        clinic_id=event.clinic_id,
        event_id=event.event_id,
        trace=continue_trace(event.trace),
        conversation_id=UUID(payload.conversation_id),
        recipient=_person(payload, _SIDES[payload.side]),
        up_to_sequence=payload.up_to_sequence,
    )


def _person(payload: _Payload, side: Side) -> Recipient:
    return Recipient(side, UUID(payload.staff_id if side is Side.STAFF else payload.profile_id))


_TO_FACT: Mapping[str, Callable[[Event], Fact]] = {
    "message_sent": _to_message_sent,
    "message_deleted": _to_message_deleted,
    "conversation_read": _to_conversation_read,
}
