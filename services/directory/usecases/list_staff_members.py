"""The staff of a clinic, by name."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.identity import Caller
from services.directory.domain.staff_member import StaffMember
from services.directory.storage.staff_members import NamePlace, place_of
from services.directory.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ListStaffMembers:
    caller: Caller
    include_inactive: bool
    page_size: int
    after: NamePlace | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is where the following page begins, or None at the end."""

    staff_members: Sequence[StaffMember]
    next: NamePlace | None


async def list_staff_members(tx: Transaction, command: ListStaffMembers) -> Page:
    found = await tx.staff_members.page(
        with_inactive=command.include_inactive,
        after=command.after,
        most=command.page_size + 1,
    )
    shown = found[: command.page_size]
    return Page(shown, place_of(shown[-1]) if len(found) > len(shown) else None)
