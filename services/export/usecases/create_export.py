"""Have somebody's messages written into files, as the Account Owner asked (R43 to R46)."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.chassis.identity import Caller
from services.chassis.ids import uuid7
from services.export.clients.directory import Directory
from services.export.domain.errors import StaffMemberNotFound
from services.export.domain.export import Export, Scope, State
from services.export.domain.requester import Requester
from services.export.storage.unit_of_work import Storage, Transaction
from services.export.usecases.access import access_export
from services.export.usecases.requester import verify_requester


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateExport:
    """`requester_address` is where the request came from; it is compared and not kept."""

    caller: Caller
    staff_id: UUID
    requester_address: str
    request_id: UUID


async def create_export(
    command: CreateExport, *, storage: Storage, directory: Directory, cutoff: timedelta
) -> Export:
    """An export of everything older than now by `cutoff`; a repeat returns the first one.

    Raises RequesterNotOwner, StaffMemberNotFound, Unavailable.
    """
    caller = command.caller
    requester = await verify_requester(
        caller, command.requester_address, storage=storage, directory=directory
    )
    if not await storage.staff_member_exists(caller.clinic, command.staff_id):
        raise StaffMemberNotFound("The clinic has no such staff member")

    async def create(tx: Transaction, command: CreateExport) -> Export:
        return await _create(tx, command, requester, cutoff)

    return await storage.run(create, command)


async def _create(
    tx: Transaction, command: CreateExport, requester: Requester, cutoff: timedelta
) -> Export:
    export = Export(
        clinic_id=tx.caller.clinic,
        id=uuid7(),
        staff_id=command.staff_id,
        scope=Scope.STAFF_MEMBER,
        state=State.APPROVED,
        owner_id=requester.owner_id,
        requester=requester.address_hash,
        created_at=tx.now,
        cutoff_at=tx.now - cutoff,
        expires_at=None,
        conversations=0,
        messages=0,
    )
    earlier = await tx.earlier_result(
        command.request_id,
        method="CreateExport",
        content=f"{command.staff_id} {export.scope}",
        result_id=export.id,
    )
    if earlier is not None:
        return await access_export(tx, earlier)
    await tx.exports.add(export)
    await tx.note("create_export", export.id)
    return export
