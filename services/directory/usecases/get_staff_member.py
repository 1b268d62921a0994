"""One staff member, read."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.staff_member import StaffMember
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_staff_member


@dataclass(frozen=True, slots=True, kw_only=True)
class GetStaffMember:
    caller: Caller
    staff_id: UUID


async def get_staff_member(tx: Transaction, command: GetStaffMember) -> StaffMember:
    return await access_staff_member(tx, command.staff_id)
