"""The exports of a clinic, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller, Role
from services.export.domain.errors import OwnerRequired
from services.export.domain.export import Export
from services.export.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ListExports:
    """`before` is the last export of the page before."""

    caller: Caller
    page_size: int
    before: UUID | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is where the following page begins, or None at the end."""

    exports: Sequence[Export]
    next: UUID | None


async def list_exports(tx: Transaction, command: ListExports) -> Page:
    """Of staff, for the Account Owner alone; ops see them as they run them (R43, R45)."""
    if command.caller.role is Role.STAFF and not await tx.people.is_owner(command.caller.person):
        raise OwnerRequired("Exports are for the Account Owner alone")
    exports = await tx.exports.page(before=command.before, most=command.page_size + 1)
    shown = exports[: command.page_size]
    return Page(shown, shown[-1].id if len(exports) > command.page_size else None)
