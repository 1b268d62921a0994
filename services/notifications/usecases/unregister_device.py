"""A device gets no more pushes: one of the calling profile's own."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.identity import Caller
from services.notifications.storage.unit_of_work import Transaction
from services.notifications.usecases.access import device_not_found


@dataclass(frozen=True, slots=True, kw_only=True)
class UnregisterDevice:
    caller: Caller
    device_id: UUID
    request_id: UUID


async def unregister_device(tx: Transaction, command: UnregisterDevice) -> None:
    """A repeat changes nothing. Raises DeviceNotFound."""
    earlier = await tx.earlier_result(
        command.caller,
        command.request_id,
        method="UnregisterDevice",
        content=str(command.device_id),
        result_id=command.device_id,
    )
    if earlier is not None:
        return
    if not await tx.devices.remove(command.caller.person, command.device_id):
        raise device_not_found()
