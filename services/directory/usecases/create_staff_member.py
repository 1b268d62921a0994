"""A new member of staff, active, without mail about messages (R23)."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.chassis.ids import uuid7
from services.directory.domain.staff_member import StaffChanges, StaffMember, new_staff_member
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_clinic, access_staff_member
from services.directory.usecases.repeats import content_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateStaffMember:
    caller: Caller
    changes: StaffChanges
    request_id: UUID


async def create_staff_member(tx: Transaction, command: CreateStaffMember) -> StaffMember:
    clinic = await access_clinic(tx)
    staff_id = uuid7()
    earlier = await tx.earlier_result(
        command.request_id,
        method="CreateStaffMember",
        content=content_of(command),
        result_id=staff_id,
    )
    if earlier is not None:
        return await access_staff_member(tx, earlier)
    member = new_staff_member(command.changes, clinic_id=clinic.id, id=staff_id, now=tx.now)
    await tx.staff_members.create(member)
    await tx.note("create_staff_member", "staff", member.id)
    await tx.publish(member)
    return member
