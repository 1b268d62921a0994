"""One profile, merged away or not, read."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.directory.domain.profile import Profile
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_profile


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProfile:
    caller: Caller
    profile_id: UUID


async def get_profile(tx: Transaction, command: GetProfile) -> Profile:
    return await access_profile(tx, command.profile_id)
