""" "Why didn't they get it?", answered in one ordered list, without text, name or address.

For the two who take part in the thread, each told what they may see, and for ops, who may ask of
any thread of the clinic and whose asking is audited.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.chassis.errors import Unavailable
from services.chassis.identity import Caller, Role
from services.conversations.domain.conversation import Conversation
from services.conversations.domain.errors import (
    ConversationNotFound,
    MessageNotFound,
    ProfileNotFound,
)
from services.conversations.domain.explaining import (
    MOST_CAUSES,
    DeliveryCause,
    LedgerRow,
    SignIn,
    causes_of_deliveries,
    causes_of_duplicates,
    causes_of_message,
    causes_of_people,
    causes_of_session,
    causes_of_sign_ins,
    shown_to_patients,
    without_sign_in_times,
)
from services.conversations.domain.message import Message
from services.conversations.domain.people import People
from services.conversations.storage.unit_of_work import Storage, Transaction
from services.conversations.usecases.access import access_conversation
from services.messaging_rule import Side


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
    """What this service knows: the causes, and what else there is to ask for.

    `profile_ids` are the profile and the one it was merged into; none where the message was the
    profile's own.
    """

    causes: list[DeliveryCause]
    profile_ids: list[UUID]
    message: tuple[UUID, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _SignIns:
    caller: Caller
    profile_ids: Sequence[UUID]


async def explain_delivery(
    command: ExplainDelivery, *, storage: Storage, witnesses: Witnesses
) -> Sequence[DeliveryCause]:
    """The thread's causes first, then the ledger's, then which profile the recipient may use."""
    own = await storage.run(_own_causes, command)
    if command.caller.role is Role.PATIENT:
        return shown_to_patients(own.causes)
    causes = list(own.causes)
    if own.message is not None:
        causes += causes_of_deliveries(
            await _deliveries(witnesses, command.caller.clinic, *own.message)
        )
    if own.profile_ids:
        causes += await _causes_of_sign_ins(command.caller, own, storage, witnesses)
    told = without_sign_in_times(causes) if command.caller.is_person else causes
    return told[:MOST_CAUSES]


async def _causes_of_sign_ins(
    caller: Caller, own: _Own, storage: Storage, witnesses: Witnesses
) -> list[DeliveryCause]:
    duplicates = await _duplicates(witnesses, caller.clinic, own.profile_ids[0])
    asked = _SignIns(caller=caller, profile_ids=[*own.profile_ids, *duplicates])
    last = await storage.run(_last_sign_in, asked)
    return causes_of_sign_ins(last) + causes_of_duplicates(duplicates)


async def _last_sign_in(tx: Transaction, asked: _SignIns) -> SignIn | None:
    return await tx.people.last_sign_in(asked.profile_ids)


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
    survivor_id = await tx.people.survivor_of(conversation.profile_id)
    message = await _message(tx, conversation, command.sequence)
    causes = causes_of_people(people, survivor_id)
    causes += causes_of_message(conversation, people, message)
    if message is None:
        return _Own(causes, _profiles(conversation.profile_id, survivor_id), None)
    side = message.sender_side.other
    recipient_id = conversation.person(side)
    causes += causes_of_session(await tx.people.session_at(side, recipient_id, message.sent_at))
    used = _profiles(recipient_id, survivor_id) if side is Side.PROFILE else []
    return _Own(causes, used, (conversation.id, message.sequence))


async def _message(tx: Transaction, conversation: Conversation, sequence: int) -> Message | None:
    """The message asked about; None only where none was named and the thread never held one."""
    wanted = sequence or conversation.last_sequence
    if wanted == 0:
        return None
    message = await tx.messages.get(conversation, wanted)
    if message is None:
        raise MessageNotFound("There is no such message")
    return message


def _profiles(profile_id: UUID, survivor_id: UUID | None) -> list[UUID]:
    return [profile_id] if survivor_id in (None, profile_id) else [profile_id, survivor_id]


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
    if tx.caller.role is Role.PATIENT:
        raise ProfileNotFound("There is no such profile")
    if not tx.caller.is_person:
        await tx.record(action="explain_delivery", object_type="profile", id=profile_id)
    people = await tx.people.of_profile(profile_id, staff_id=command.caller.person_id)
    if people is None:
        raise ProfileNotFound("There is no such profile")
    survivor_id = await tx.people.survivor_of(profile_id)
    return _Own(causes_of_people(people, survivor_id), _profiles(profile_id, survivor_id), None)
