"""The facts of conversations, one function a type. They commute: a delete may come before its
send, and each is claimed in the transaction of its effect."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from clinic.conversations.v1 import conversations_events_pb2 as events
from clinic.conversations.v1 import message_pb2
from services.chassis.inbox import Malformed
from services.chassis.outbox import Event
from services.chassis.telemetry import continue_trace
from services.chassis.wire import UNREADABLE, to_time
from services.messaging_rule import Side
from services.notifications.domain.delivery import Recipient
from services.notifications.domain.message import Message
from services.notifications.storage.unit_of_work import Storage
from services.notifications.usecases.cancel_deleted import CancelDeleted, cancel_deleted
from services.notifications.usecases.cancel_read import CancelRead, cancel_read
from services.notifications.usecases.decide_delivery import DecideDelivery, decide_delivery

_SIDES = {message_pb2.SIDE_STAFF: Side.STAFF, message_pb2.SIDE_PROFILE: Side.PROFILE}

OnFact = Callable[[Event, Storage], Awaitable[None]]
Fact = events.MessageSent | events.MessageDeleted | events.ConversationRead
C = TypeVar("C")


async def on_message_sent(event: Event, storage: Storage) -> None:
    await storage.act(decide_delivery, _read(event, _to_decide_delivery))


async def on_message_deleted(event: Event, storage: Storage) -> None:
    await storage.act(cancel_deleted, _read(event, _to_cancel_deleted))


async def on_conversation_read(event: Event, storage: Storage) -> None:
    await storage.act(cancel_read, _read(event, _to_cancel_read))


_ON_FACT: dict[str, OnFact] = {
    "message_sent": on_message_sent,
    "message_deleted": on_message_deleted,
    "conversation_read": on_conversation_read,
}


def handler(storage: Storage) -> Callable[[Sequence[Event]], Awaitable[None]]:
    """What the intake hands batches to. Types that nobody is told of are passed over."""

    async def handle(batch: Sequence[Event]) -> None:
        for event in batch:
            if on_fact := _ON_FACT.get(event.type):
                continue_trace(event.trace)
                await on_fact(event, storage)

    return handle


def _read(event: Event, to_command: Callable[[Event], C]) -> C:
    try:
        return to_command(event)
    except (*UNREADABLE, KeyError) as error:
        raise Malformed(event.type) from error


def _to_decide_delivery(event: Event) -> DecideDelivery:
    fact = events.MessageSent.FromString(event.payload)
    return DecideDelivery(
        clinic_id=event.clinic_id,
        event_id=event.event_id,
        message=Message(
            id=UUID(fact.message_id),
            conversation_id=UUID(fact.conversation_id),
            sequence=fact.sequence,
            sent_at=to_time(fact.send_time),
        ),
        recipient=_person(fact, _SIDES[fact.sender_side].other),
    )


def _to_cancel_deleted(event: Event) -> CancelDeleted:
    fact = events.MessageDeleted.FromString(event.payload)
    return CancelDeleted(
        clinic_id=event.clinic_id,
        event_id=event.event_id,
        message_id=UUID(fact.message_id),
        recipient=_person(fact, _SIDES[fact.sender_side].other),
        deleted_at=to_time(fact.delete_time),
    )


def _to_cancel_read(event: Event) -> CancelRead:
    fact = events.ConversationRead.FromString(event.payload)
    return CancelRead(
        clinic_id=event.clinic_id,
        event_id=event.event_id,
        conversation_id=UUID(fact.conversation_id),
        reader=_person(fact, _SIDES[fact.side]),
        up_to_sequence=fact.up_to_sequence,
    )


def _person(fact: Fact, side: Side) -> Recipient:
    return Recipient(side, UUID(fact.staff_id if side is Side.STAFF else fact.profile_id))
