"""How many a second a provider gets of this process: an outage's backlog must not look like abuse.

Mail waits for its turn, in the order in which it came. A push is told when to come again instead,
for those that wait would stand in the way of other providers' pushes.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from services.chassis.clock import Clock, system_clock
from services.chassis.limits import TokenBucket

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Pace:
    """Of one provider: what a second brings may go at once."""

    def __init__(self, a_second: float, *, clock: Clock = system_clock) -> None:
        self._a_second = a_second
        self._burst = max(a_second, 1.0)
        self._bucket = TokenBucket(rate=a_second, burst=self._burst, clock=clock, keys=1)
        self._clock = clock
        self._line = asyncio.Lock()
        self._promised = _LONG_AGO

    async def turn(self) -> None:
        """Returns when one may go."""
        async with self._line:
            while True:
                seconds = self._bucket.take("")
                if seconds == 0:
                    return
                await asyncio.sleep(seconds)

    def next_turn(self, amount: int) -> datetime | None:
        """None where so many may go now; otherwise when to come again, each time a later time, so
        that they do not come all at once. Nothing is taken."""
        if self._bucket.wait("", self._bounded(amount)) == 0:
            return None
        self._promised = max(self._promised, self._clock()) + timedelta(
            seconds=amount / self._a_second
        )
        return self._promised

    def take(self, amount: int) -> None:
        """So many go now, as `next_turn` has allowed."""
        self._bucket.take("", self._bounded(amount))

    def _bounded(self, amount: int) -> float:
        """More than a full bucket holds would never go."""
        return min(float(amount), self._burst)
