"""A clinic under another name."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.clinic import Clinic, renamed
from services.directory.domain.etag import check_etag
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_clinic
from services.directory.usecases.repeats import content_of


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateClinic:
    caller: Caller
    name: str
    etag: str
    request_id: UUID


async def update_clinic(tx: Transaction, command: UpdateClinic) -> Clinic:
    clinic = await access_clinic(tx, lock=True)
    earlier = await tx.earlier_result(
        command.request_id,
        method="UpdateClinic",
        content=content_of(command),
        result_id=clinic.id,
    )
    if earlier is not None:
        return clinic
    check_etag(command.etag, clinic.version, clinic_id=str(clinic.id))
    changed = renamed(clinic, command.name)
    if changed == clinic:
        return clinic
    saved = await tx.clinics.save(changed, actor=tx.caller.actor, now=tx.now)
    await tx.note("update_clinic", "clinic", clinic.id)
    await tx.publish(saved)
    return saved
