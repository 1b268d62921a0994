"""Tasks that run for ever, for as long as a test needs them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def running(*tasks: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these in the background; none of them may end by itself."""
    begun = [asyncio.create_task(task) for task in tasks]
    try:
        yield
    finally:
        for task in begun:
            task.cancel()
        ends = await asyncio.gather(*begun, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}, ends
