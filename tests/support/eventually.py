"""Waiting for what has to become true, without guessing how long it takes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(probe: Callable[[], Awaitable[T]], *, within: float = 10.0) -> T:
    """The first true answer of the probe; a failed assertion in it counts as not yet.

    After `within` seconds the last assertion is raised, or TimeoutError where there was none.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        late = loop.time() >= deadline
        try:
            if answer := await probe():
                return answer
        except AssertionError:
            if late:
                raise
        if late:
            raise TimeoutError(f"not true after {within:g} s: {probe!r}")
        await asyncio.sleep(0.02)
