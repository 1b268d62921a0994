"""A clinic with its settings, read."""

from dataclasses import dataclass

from services.chassis.identity import Caller
from services.directory.domain.clinic import Clinic
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_clinic


@dataclass(frozen=True, slots=True, kw_only=True)
class GetClinic:
    caller: Caller


async def get_clinic(tx: Transaction, command: GetClinic) -> Clinic:
    return await access_clinic(tx)
