"""Tasks that run for ever, for as long as a test needs them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager


@asynccontextmanager
async def running(*tasks: Awaitable[object]) -> AsyncIterator[None]:
    """Run these in the background; none of them may end by itself."""
    begun = [asyncio.ensure_future(task) for task in tasks]
    try:
        yield
    finally:
        pending = set(begun)
        while pending:  # again and again: asyncio.wait_for may lose a cancellation
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=1)
        ends = await asyncio.gather(*begun, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}, ends
