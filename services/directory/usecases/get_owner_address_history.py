"""Which address was the Account Owner's, and from when, for the checks of exports (I24)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.chassis.identity import Caller
from services.directory.storage.staff_members import OwnerAddress
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_clinic


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOwnerAddressHistory:
    caller: Caller
    since: datetime


async def get_owner_address_history(
    tx: Transaction, command: GetOwnerAddressHistory
) -> Sequence[OwnerAddress]:
    """The current one first; the last is what was on file at `since`. Raises ClinicNotFound."""
    await access_clinic(tx)
    return await tx.staff_members.owner_addresses(at=command.since)
