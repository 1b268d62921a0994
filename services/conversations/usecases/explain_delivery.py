""" "Why didn't they get it?", answered in one ordered list, without text, name or address.

For the staff member who takes part in the thread, and for ops, who may ask of any thread of the
clinic and whose asking is audited.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.chassis.errors import Unavailable
from services.chassis.identity import Caller
from services.conversations.domain.conversation import Conversation
from services.conversations.domain.errors import (
    ConversationNotFound,
    MessageNotFound,
    ProfileNotFound,
)
from services.conversations.domain.explaining import (
    DeliveryCause,
    LedgerRow,
    causes_of_deliveries,
    causes_of_duplicates,
    causes_of_message,
    causes_of_people,
)
from services.conversations.domain.people import People
from services.conversations.storage.unit_of_work import Storage, Transaction
from services.conversations.usecases.access import access_conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainDelivery:
    """A message of a thread (0: its last one), or, without a thread, a profile."""

    caller: Caller
    conversation_id: UUID | None
    sequence: int
    profile_id: UUID | None


class Witnesses(Protocol):
    """The other services that know something of it; they raise Unavailable."""

    async def deliveries(
        self, clinic_id: UUID, conversation_id: UUID, sequence: int
    ) -> Sequence[LedgerRow]: ...

    async def likely_duplicates(self, clinic_id: UUID, profile_id: UUID) -> Sequence[UUID]: ...


@dataclass(frozen=True, slots=True)
class _Own:
    """What this service knows: the causes, and what else there is to ask for."""

    causes: list[DeliveryCause]
    profile_id: UUID
    message: tuple[UUID, int] | None


async def explain_delivery(
    command: ExplainDelivery, *, storage: Storage, witnesses: Witnesses
) -> Sequence[DeliveryCause]:
    """The thread's causes first, then the ledger's, then likely duplicates."""
    own = await storage.run(_own_causes, command)
    clinic_id = command.caller.clinic
    causes = list(own.causes)
    if own.message is not None:
        causes += causes_of_deliveries(await _deliveries(witnesses, clinic_id, *own.message))
    return causes + causes_of_duplicates(await _duplicates(witnesses, clinic_id, own.profile_id))


async def _deliveries(
    witnesses: Witnesses, clinic_id: UUID, conversation_id: UUID, sequence: int
) -> Sequence[LedgerRow] | None:
    try:
        return await witnesses.deliveries(clinic_id, conversation_id, sequence)
    except Unavailable:
        return None


async def _duplicates(witnesses: Witnesses, clinic_id: UUID, profile_id: UUID) -> Sequence[UUID]:
    try:
        return await witnesses.likely_duplicates(clinic_id, profile_id)
    except Unavailable:
        return []  # a hint, and no reason to answer nothing


async def _own_causes(tx: Transaction, command: ExplainDelivery) -> _Own:
    if command.conversation_id is None:
        return await _causes_of_profile(tx, command)
    conversation, people = await _access(tx, command.conversation_id)
    message = None
    if sequence := command.sequence or conversation.last_sequence:
        message = await tx.messages.get(conversation, sequence)
        if message is None:
            raise MessageNotFound("There is no such message")
    survivor_id = await tx.people.survivor_of(conversation.profile_id)
    return _Own(
        causes_of_people(people, survivor_id) + causes_of_message(conversation, people, message),
        conversation.profile_id,
        None if message is None else (conversation.id, message.sequence),
    )


async def _access(tx: Transaction, conversation_id: UUID) -> tuple[Conversation, People]:
    if tx.caller.is_person:
        return await access_conversation(tx, conversation_id)
    await tx.record(action="explain_delivery", object_type="conversation", id=conversation_id)
    conversation, people = await tx.conversations.get(conversation_id) or (None, None)
    if conversation is None or people is None:
        raise ConversationNotFound("There is no such conversation")
    return conversation, people


async def _causes_of_profile(tx: Transaction, command: ExplainDelivery) -> _Own:
    assert command.profile_id is not None
    profile_id = command.profile_id
    if not tx.caller.is_person:
        await tx.record(action="explain_delivery", object_type="profile", id=profile_id)
    people = await tx.people.of_profile(profile_id, staff_id=command.caller.person_id)
    if people is None:
        raise ProfileNotFound("There is no such profile")
    survivor_id = await tx.people.survivor_of(profile_id)
    return _Own(causes_of_people(people, survivor_id), profile_id, None)
