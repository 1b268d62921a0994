"""A third clinic for the fuzz, which ruins it; what it must not see is in the other two."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fuzz.victims import Victim
from tests.support.two_clinics import TwoClinics


@pytest.fixture(scope="session")
async def victim(two_clinics: TwoClinics) -> AsyncIterator[Victim]:
    victim = Victim(two_clinics)
    await victim.open()
    yield victim


@pytest.fixture(autouse=True)
async def everything_survives(victim: Victim) -> AsyncIterator[None]:
    """All doors serve afterwards, no background task fell over, and no error went unnoticed."""
    loop = asyncio.get_running_loop()
    unnoticed: list[str] = []
    loop.set_exception_handler(lambda _, context: unnoticed.append(str(context)))
    restarts = victim.task_restarts()
    yield
    loop.set_exception_handler(None)
    assert unnoticed == []
    assert victim.task_restarts() == restarts
    assert await victim.doors_that_do_not_serve() == []
