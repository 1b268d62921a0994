"""Time: what the ledger may forget is forgotten, in small transactions."""

import asyncio

from services.notifications.storage.forgetting import Forgetting

PASS_SECONDS = 600.0


async def forget_for_ever(forgetting: Forgetting) -> None:
    while True:
        while await forgetting.run():
            pass
        await asyncio.sleep(PASS_SECONDS)
