"""Names and addresses behind ids, for services that may not store the addresses."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.directory.domain.clinic import Clinic
from services.directory.domain.profile import Profile
from services.directory.domain.staff_member import StaffMember
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_clinic

_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchGetDetails:
    caller: Caller
    staff_ids: Sequence[UUID]
    profile_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Details:
    clinic: Clinic
    staff_members: Sequence[StaffMember]
    profiles: Sequence[Profile]


async def batch_get_details(tx: Transaction, command: BatchGetDetails) -> Details:
    """What there is of these now; an id that the clinic does not have is left out."""
    for field, ids in (("staff_ids", command.staff_ids), ("profile_ids", command.profile_ids)):
        if len(ids) > _MOST:
            raise InvalidArgument(f"{field} has at most {_MOST} entries", field=field)
    return Details(
        clinic=await access_clinic(tx),
        staff_members=await tx.staff_members.many(command.staff_ids),
        profiles=await tx.profiles.many(command.profile_ids),
    )
