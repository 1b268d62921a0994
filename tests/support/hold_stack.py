"""Holds a stack until it is told to end: `python -m tests.support.hold_stack [service ...]`.

Prints the process numbers of the parts as JSON once all are ready. Its standard input is its
life line: when that closes, it ends.
"""

import asyncio
import json
import sys

from deploy.local.stack import Stack


async def hold(services: tuple[str, ...]) -> None:
    async with Stack.throwaway(services=services) as stack:
        names = ("postgres", "nats", "mailbox", *services)
        print(json.dumps({name: stack.pid(name) for name in names}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(hold(tuple(sys.argv[1:])))
