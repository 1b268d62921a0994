"""The last look before pushes leave, committed before a provider gets the first byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.notifications.domain.delivery import Delivery, Reason, State, settle, transmit
from services.notifications.domain.device import DeviceAddress
from services.notifications.domain.mail import Contents
from services.notifications.storage.unit_of_work import Batch
from services.notifications.usecases.begin_transmission import contents_of, held_by
from services.notifications.usecases.claim_dispatch import Claim
from services.notifications.usecases.wanted import drop_unwanted


@dataclass(frozen=True, slots=True)
class BeginPush:
    claim: Claim

    @property
    def clinic_id(self) -> UUID:
        return self.claim.clinic_id


@dataclass(frozen=True, slots=True)
class Begun:
    """What to tell, and the devices as they are now; at least one."""

    contents: Contents
    devices: Sequence[DeviceAddress]


async def begin_pushes(tx: Batch, commands: Sequence[BeginPush]) -> list[Begun | None]:
    """None where nothing is left to tell or nowhere to tell it, or the claim is no longer ours."""
    ours = await held_by(tx, [command.claim for command in commands])
    ready = [each for held in ours.values() for each in held if each.state is State.CLAIMED]
    wanted = await drop_unwanted(tx, ready)
    devices = await tx.devices_of({delivery.whom for delivery in wanted})
    await tx.save(
        [
            transmit(delivery, now=tx.now)
            if devices[delivery.whom]
            else settle(delivery, State.SKIPPED, Reason.NO_DEVICE)
            for delivery in wanted
        ]
    )
    return [
        _begun(command.claim, wanted, devices.get(command.claim.whom, ())) for command in commands
    ]


def _begun(
    claim: Claim, wanted: Sequence[Delivery], devices: Sequence[DeviceAddress]
) -> Begun | None:
    contents = contents_of(claim, wanted)
    return None if contents is None or not devices else Begun(contents, devices)
