"""Opening the one thread of a staff member and a profile (R1, R3, R4, R18, R35, R36, I38)."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.errors import DomainError
from services.chassis.identity import Caller, Role
from services.chassis.ids import uuid7
from services.conversations.domain.errors import (
    NoGroups,
    PatientCannotInitiate,
    ProfileMerged,
    ProfileNotFound,
    RecipientIsStaff,
    Unconfirmed,
    refusal_to_start,
)
from services.conversations.domain.inbox import Entry
from services.conversations.domain.people import People, why_not_send
from services.conversations.storage.events import conversation_started
from services.conversations.storage.unit_of_work import Storage, Transaction
from services.conversations.usecases.access import way_to_survivor
from services.messaging_rule import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class StartConversation:
    caller: Caller
    profile_id: UUID
    additional_profile_ids: Sequence[str]
    request_id: UUID


async def start_conversation(command: StartConversation, *, storage: Storage) -> Entry:
    """The pair's thread, made if there is none; two starts at once give one."""
    if command.caller.role is not Role.STAFF:
        raise PatientCannotInitiate("Patients answer; they cannot start a conversation")
    if command.additional_profile_ids:
        raise NoGroups("A conversation has exactly one profile", field="additional_profile_ids")
    try:
        return await storage.run(_start, command)
    except ProfileMerged:
        raise await storage.run(_merged, command) from None
    finally:
        storage.started()


async def _start(tx: Transaction, command: StartConversation) -> Entry:
    staff_id, profile_id = command.caller.person, command.profile_id
    await tx.share_fence()
    if await tx.people.is_staff(profile_id):
        raise RecipientIsStaff("Staff members cannot be written to", field="profile_id")
    known_id = await tx.conversations.id_of_pair(staff_id, profile_id)
    id = known_id or uuid7()
    earlier_id = await tx.earlier_result(
        command.request_id, method="StartConversation", content=str(profile_id), result_id=id
    )
    if earlier_id is not None:
        return await tx.conversations.entry(earlier_id)
    people = await tx.people.get(staff_id, profile_id)
    if (refusal := _refusal(people)) is not None:
        raise Unconfirmed(
            refusal, staff_id=staff_id, profile_id=profile_id, facts_missing=people is None
        )
    if known_id is None:
        await tx.conversations.create(id, staff_id, profile_id, now=tx.now)
        await tx.people.want_names(staff_id, profile_id)
    entry = await tx.conversations.entry(id)
    if known_id is None:
        await tx.publish(conversation_started(entry.conversation))
    return entry


def _refusal(people: People | None) -> DomainError | None:
    if people is None:
        return ProfileNotFound("There is no such profile")
    why = why_not_send(Side.STAFF, people)
    return None if why is None else refusal_to_start(why)


async def _merged(tx: Transaction, command: StartConversation) -> ProfileMerged:
    return ProfileMerged(
        "The profile was merged into another; start with the surviving profile",
        **await way_to_survivor(tx, command.caller.person, command.profile_id),
    )
