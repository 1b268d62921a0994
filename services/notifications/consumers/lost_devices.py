"""Time: devices that nobody uses any more are forgotten."""

import asyncio

from services.notifications.storage.lost_devices import LostDevices

PASS_SECONDS = 3_600.0


async def sweep_for_ever(devices: LostDevices) -> None:
    while True:
        while await devices.sweep():
            pass
        await asyncio.sleep(PASS_SECONDS)
