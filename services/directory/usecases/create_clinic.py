"""A new tenant with its Account Owner; messaging is off (R1)."""

from dataclasses import dataclass, replace
from uuid import UUID, uuid5

from services.chassis.identity import Caller
from services.chassis.ids import uuid7
from services.directory.domain.clinic import Clinic, new_clinic
from services.directory.domain.staff_member import (
    StaffMember,
    new_owner,
)
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_clinic, access_staff_member
from services.directory.usecases.repeats import content_of

_CLINICS = UUID("0f3c9a52-7d1b-5e64-9c3e-6a1c5b0d2e77")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateClinic:
    """`caller` has the clinic that is to be made: see `for_new_clinic`."""

    caller: Caller
    clinic_name: str
    owner_display_name: str
    owner_email: str
    request_id: UUID


def for_new_clinic(caller: Caller, request_id: UUID) -> Caller:
    """The caller in the clinic that this request makes: a repeat finds it by construction."""
    return replace(caller, clinic_id=uuid5(_CLINICS, f"{caller.actor} {request_id}"))


async def create_clinic(tx: Transaction, command: CreateClinic) -> tuple[Clinic, StaffMember]:
    """The clinic and its owner, who starts no waiting time for exports by being the first."""
    earlier = await tx.earlier_result(
        command.request_id,
        method="CreateClinic",
        content=content_of(command),
        result_id=(owner_id := uuid7()),
    )
    if earlier is not None:
        return await access_clinic(tx), await access_staff_member(tx, earlier)
    clinic = new_clinic(clinic_id=tx.caller.clinic, name=command.clinic_name, now=tx.now)
    owner = new_owner(
        clinic_id=clinic.id,
        id=owner_id,
        display_name=command.owner_display_name,
        email=command.owner_email,
        now=tx.now,
    )
    await tx.clinics.create(clinic, actor=tx.caller.actor)
    await tx.staff_members.create(owner)
    await tx.note("create_clinic", "clinic", clinic.id)
    await tx.publish(clinic, owner)
    return clinic, owner
