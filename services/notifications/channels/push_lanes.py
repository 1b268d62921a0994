"""A lane a provider: a few pushes at a time, and none while it is known to be down.

Who finds the lane full, or closed, is told so at once: a provider that hangs holds up those who
wait for it as little as those who wait for another.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta

from services.chassis.clock import Clock
from services.notifications.channels.failures import NoAnswer, TryLater

AT_ONCE = 8
# Who waits for a place looks once a second whether the lane moves at all.
_LOOK_SECONDS = 1.0
_MOST_LOOKS = 5
# So many failures with no success between them, and the provider counts as down.
_FAILURES = 4
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)


class Lane:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)
        self._failures = 0
        self._taken = 0
        self._closed_until: datetime | None = None
        self._trying = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A place among those at work. Raises TryLater where there is none soon.

        What fails inside is noted against the provider.
        """
        self._check_open()
        await self._take_place()
        try:
            self._check_open()
            with self._noted():
                yield
        finally:
            self._places.release()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        trial = self._trying = self._is_down
        try:
            yield
        except (TryLater, NoAnswer):
            self.failed()
            raise
        finally:
            if trial:
                self._trying = False

    def succeeded(self) -> None:
        self._failures = 0
        self._taken += 1
        self._closed_until = None

    def failed(self, *, not_before: datetime | None = None) -> None:
        """The provider has answered that it cannot, or not at all."""
        self._failures += 1
        if not_before is not None:
            self._close_until(min(not_before, self._clock() + _LONGEST_PAUSE))
        elif self._is_down:
            doublings = min(self._failures - _FAILURES, 10)
            self._close_until(self._clock() + min(_FIRST_PAUSE * 2**doublings, _LONGEST_PAUSE))

    @property
    def _is_down(self) -> bool:
        return self._failures >= _FAILURES

    def _close_until(self, time: datetime) -> None:
        self._closed_until = time if self._closed_until is None else max(time, self._closed_until)

    def _check_open(self) -> None:
        """After a pause one push tries whether the provider is back; the others wait for it."""
        if self._closed_until is not None and self._clock() < self._closed_until:
            raise TryLater(not_before=self._closed_until)
        if self._trying:
            raise TryLater

    async def _take_place(self) -> None:
        for _ in range(_MOST_LOOKS):
            taken = self._taken
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._places.acquire()
                return
            except TimeoutError:
                if self._taken == taken:
                    break
        raise TryLater
