"""Posting a message (R7, R14, R19, I13 to I15, I33, I34, I36, I38)."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.errors import ResourceExhausted
from services.chassis.identity import Caller
from services.chassis.limits import TokenBucket
from services.conversations.domain.errors import ConversationArchived
from services.conversations.domain.message import Message, check_body
from services.conversations.domain.writing import Send, side_of
from services.conversations.storage.unit_of_work import Storage, Transaction
from services.conversations.usecases.access import access_conversation, way_to_survivor


@dataclass(frozen=True, slots=True, kw_only=True)
class SendMessage:
    caller: Caller
    conversation_id: UUID
    body: str
    content_type: str
    request_id: UUID


@dataclass(frozen=True, slots=True)
class SendLimits:
    """Sends a second, of one person and of one clinic, in this process."""

    actor: TokenBucket
    clinic: TokenBucket


class RateLimited(ResourceExhausted):
    reason = "RATE_LIMITED"


async def send_message(command: SendMessage, *, storage: Storage, limits: SendLimits) -> Message:
    """Store the message and its event, and return once they are durable (P1).

    A repeat of the request returns the first message, or its tombstone (I33).
    """
    check_body(command.body, command.content_type)
    _check_rate(command.caller, limits)
    side = side_of(command.caller)
    send = Send(
        caller=command.caller,
        conversation_id=command.conversation_id,
        request_id=command.request_id,
        body=command.body,
        fingerprint=storage.fingerprint(command.conversation_id, side, command.body),
    )
    try:
        return await storage.send(send)
    except ConversationArchived:
        raise await storage.run(_archived, command) from None


def _check_rate(caller: Caller, limits: SendLimits) -> None:
    wait = limits.actor.take(caller.actor) or limits.clinic.take(str(caller.clinic))
    if wait:
        raise RateLimited("Too many messages at once; wait and repeat", retry_after=wait)


async def _archived(tx: Transaction, command: SendMessage) -> ConversationArchived:
    """The refusal that leads the clinician to the surviving profile in one step (I36)."""
    conversation, _ = await access_conversation(tx, command.conversation_id)
    return ConversationArchived(
        "The profile was merged into another; write to the surviving profile",
        **await way_to_survivor(tx, conversation.staff_id, conversation.profile_id),
    )
