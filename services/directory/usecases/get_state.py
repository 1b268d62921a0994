"""What a clinic, a person or a session now is, for a replica that does not hold it."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.events import State, Subject
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import (
    access_clinic,
    access_profile,
    access_session,
    access_staff_member,
)


class Kind(StrEnum):
    CLINIC = "clinic"
    STAFF = "staff"
    PROFILE = "profile"
    SESSION = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class GetState:
    """`id` is that of a person or a session; the clinic is the caller's."""

    caller: Caller
    kind: Kind
    id: UUID | None


async def get_state(tx: Transaction, command: GetState) -> State:
    return await tx.state_of(await _subject(tx, command))


async def _subject(tx: Transaction, command: GetState) -> Subject:
    if command.kind is Kind.CLINIC or command.id is None:
        return await access_clinic(tx)
    match command.kind:
        case Kind.STAFF:
            return await access_staff_member(tx, command.id)
        case Kind.PROFILE:
            return await access_profile(tx, command.id)
        case Kind.SESSION:
            return await access_session(tx, command.id)
