"""Where somebody is signed in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis.identity import Caller, Role
from services.directory.domain.errors import ProfileNotFound, StaffMemberNotFound
from services.directory.domain.session import Session, person_of
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import (
    access_profile,
    access_staff_member,
    with_full_access,
)
from services.messaging_rule import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSessions:
    """`person` None: the caller's own; `before` is where a page ended."""

    caller: Caller
    person: tuple[Side, UUID] | None
    include_ended: bool
    page_size: int
    before: tuple[datetime, UUID] | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is where the following page begins, or None at the end."""

    sessions: Sequence[Session]
    next: tuple[datetime, UUID] | None


async def list_sessions(tx: Transaction, command: ListSessions) -> Page:
    """One's own or, with full access, anybody's in the clinic; the newest first."""
    side, person_id = command.person or person_of(tx.caller)
    await _check_may_list(tx, side, person_id)
    found = await tx.sessions.page(
        side,
        person_id,
        with_ended=command.include_ended,
        before=command.before,
        most=command.page_size + 1,
    )
    shown = found[: command.page_size]
    more = len(found) > len(shown)
    return Page(shown, (shown[-1].opened_at, shown[-1].id) if more else None)


async def _check_may_list(tx: Transaction, side: Side, person_id: UUID) -> None:
    if (side, person_id) == person_of(tx.caller):
        return
    if tx.caller.role is not Role.STAFF:
        raise _not_found(side, person_id)
    await with_full_access(tx)
    await (access_staff_member if side is Side.STAFF else access_profile)(tx, person_id)


def _not_found(side: Side, person_id: UUID) -> StaffMemberNotFound | ProfileNotFound:
    """To the patient side nobody else is there."""
    if side is Side.STAFF:
        return StaffMemberNotFound("There is no such staff member", staff_id=str(person_id))
    return ProfileNotFound("There is no such profile", profile_id=str(person_id))
