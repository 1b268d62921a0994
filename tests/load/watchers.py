"""A process that holds watches: says when they are open, then how late each message came."""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc

from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.conversations.v1.conversations_service_pb2_grpc import ConversationsServiceStub

_CHANNELS = 8


@dataclass(frozen=True, slots=True)
class Watching:
    """`tokens` of the people who watch; each watch is one stream."""

    target: str
    tokens: list[str]


@dataclass(slots=True)
class Seen:
    """When each message of a conversation and sequence came, in seconds of the wall clock."""

    arrivals: dict[str, float] = field(default_factory=dict)


async def watch(stub: Any, token: str, seen: Seen, opened: asyncio.Semaphore) -> None:
    metadata = (("authorization", f"Bearer {token}"),)
    call = stub.WatchInbox(pb.WatchInboxRequest(), metadata=metadata)
    await call.read()
    opened.release()
    while (item := await call.read()) is not grpc.aio.EOF:
        if item.HasField("message_sent"):
            message = item.message_sent
            key = f"{message.conversation_id}/{message.sequence}"
            seen.arrivals.setdefault(key, time.time())


async def run(job: Watching) -> None:
    channels = [
        grpc.aio.insecure_channel(job.target, [("grpc.use_local_subchannel_pool", 1)])
        for _ in range(_CHANNELS)
    ]
    stubs = [ConversationsServiceStub(channel) for channel in channels]
    seen, opened = Seen(), asyncio.Semaphore(0)
    watches = [
        asyncio.create_task(watch(stubs[n % _CHANNELS], token, seen, opened))
        for n, token in enumerate(job.tokens)
    ]
    for _ in job.tokens:
        await opened.acquire()
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(asdict(seen)), flush=True)
    for task in watches:
        task.cancel()
    for channel in channels:
        await channel.close()


class Watchers:
    """The process, as its parent sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def open(cls, job: Watching) -> "Watchers":
        """Returns once every watch is open."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.load.watchers"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**26,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        assert await process.stdout.readline() == b"open\n"
        return cls(process)

    async def seen(self) -> Seen:
        """What came, and the end of the watches."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        seen = Seen(**json.loads(await self._process.stdout.readline()))
        await self._process.wait()
        return seen


if __name__ == "__main__":
    asyncio.run(run(Watching(**json.loads(sys.stdin.readline()))))
