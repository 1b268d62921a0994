"""How a clinic uses messaging; full access or the owner decides, whoever else asks (R2)."""

from dataclasses import dataclass, replace
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.clinic import Clinic, SettingsChanges, changed_settings
from services.directory.domain.etag import check_etag
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_clinic, with_full_access
from services.directory.usecases.repeats import content_of


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateMessagingSettings:
    caller: Caller
    changes: SettingsChanges
    etag: str
    request_id: UUID


async def update_messaging_settings(tx: Transaction, command: UpdateMessagingSettings) -> Clinic:
    """Takes effect on the next call, on every replica, once it is confirmed (I38)."""
    await with_full_access(tx)
    clinic = await access_clinic(tx, lock=True)
    earlier = await tx.earlier_result(
        command.request_id,
        method="UpdateMessagingSettings",
        content=content_of(command),
        result_id=clinic.id,
    )
    if earlier is None:
        check_etag(command.etag, clinic.settings_version, clinic_id=str(clinic.id))
        settings = changed_settings(clinic.settings, command.changes)
        if settings != clinic.settings:
            return await _save(tx, replace(clinic, settings=settings))
    await tx.remind(clinic)
    return clinic


async def _save(tx: Transaction, clinic: Clinic) -> Clinic:
    saved = await tx.clinics.save(clinic, actor=tx.caller.actor, now=tx.now)
    await tx.note("update_messaging_settings", "clinic", clinic.id)
    await tx.announce(saved)
    return saved
