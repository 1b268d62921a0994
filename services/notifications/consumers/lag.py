"""How late mails and pushes are, as a metric."""

import asyncio

from services.chassis.telemetry import gauge
from services.notifications.storage.lag import Lag

_EVERY_SECONDS = 10.0

LAG = gauge(
    "dispatch_lag_seconds",
    "For how long the mail or push that is due the longest has been waiting.",
    ("channel",),
)


async def measure_lag(lag: Lag) -> None:
    """Keep the metric true, for ever."""
    while True:
        for channel, seconds in (await lag.seconds()).items():
            LAG.labels(channel.lower()).set(seconds)
        await asyncio.sleep(_EVERY_SECONDS)
