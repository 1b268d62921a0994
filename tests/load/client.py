"""A process that makes load: reads one job as JSON on stdin, writes what it measured on stdout.

A job names a target, a kind of call, how many calls are in flight, for how many seconds, and the
places to call: pairs of a person's token and a conversation, or what to search for.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle
from typing import Any
from uuid import uuid4

import grpc

from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.conversations.v1.conversations_service_pb2_grpc import ConversationsServiceStub
from clinic.directory.v1 import directory_service_pb2 as directory_pb
from clinic.directory.v1.directory_service_pb2_grpc import DirectoryServiceStub

Metadata = tuple[tuple[str, str], ...]
Call = Callable[[Any, str, Metadata], Awaitable[object]]

_ECHO = b"\n\x01x"  # EchoRequest(text="x")
_BODY = "Please take the tablets twice a day, with a glass of water, and write again on Friday. "


@dataclass(frozen=True, slots=True)
class Job:
    targets: list[str]
    kind: str
    in_flight: int
    seconds: float
    places: list[tuple[str, str]]
    rate: float = 0.0
    warm_up: float = 1.0


@dataclass(slots=True)
class Measured:
    """Latencies in milliseconds, of the calls that began within the measured time.

    `begun` and `returned` say when the send of a conversation and sequence began and was answered,
    in seconds of the wall clock.
    """

    calls: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    begun: dict[str, float] = field(default_factory=dict)
    returned: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.calls / self.seconds

    def at(self, share: float) -> float:
        """The latency that this share of the calls was not above."""
        return percentile(self.latencies, share)


async def send(stub: Any, conversation: str, metadata: Metadata) -> object:
    request = pb.SendMessageRequest(
        conversation_id=conversation, body=_BODY * 2, request_id=str(uuid4())
    )
    answer: object = await stub.SendMessage(request, metadata=metadata, timeout=10)
    return answer


async def list_messages(stub: Any, conversation: str, metadata: Metadata) -> object:
    request = pb.ListMessagesRequest(conversation_id=conversation, page_size=50)
    answer: object = await stub.ListMessages(request, metadata=metadata, timeout=10)
    return answer


async def list_conversations(stub: Any, conversation: str, metadata: Metadata) -> object:
    request = pb.ListConversationsRequest(page_size=50)
    answer: object = await stub.ListConversations(request, metadata=metadata, timeout=10)
    return answer


async def unread(stub: Any, conversation: str, metadata: Metadata) -> object:
    answer: object = await stub.GetUnreadSummary(
        pb.GetUnreadSummaryRequest(), metadata=metadata, timeout=10
    )
    return answer


async def search(stub: Any, query: str, metadata: Metadata) -> object:
    request = directory_pb.SearchProfilesRequest(query=query, page_size=20)
    answer: object = await stub.SearchProfiles(request, metadata=metadata, timeout=10)
    return answer


async def null(channel: Any, conversation: str, metadata: Metadata) -> object:
    """A call of a server that does nothing, bare or behind the steps of ours."""
    echo = channel.unary_unary("/clinic.tests.v1.EchoService/Unary")
    answer: object = await echo(_ECHO, metadata=metadata, timeout=10)
    return answer


CALLS: dict[str, Call] = {
    "send": send,
    "list_messages": list_messages,
    "list_conversations": list_conversations,
    "unread": unread,
    "search": search,
    "null": null,
}
_STUBS: dict[str, Callable[[grpc.aio.Channel], Any]] = {
    "search": DirectoryServiceStub,
    "null": lambda channel: channel,
}


async def run(job: Job) -> Measured:
    """Keep `in_flight` calls going; at `rate` a second where one is given."""
    channels = [grpc.aio.insecure_channel(target) for target in job.targets]
    stubs = cycle(map(_STUBS.get(job.kind, ConversationsServiceStub), channels))
    places = cycle(job.places)
    measured = Measured()
    began = time.perf_counter()
    start, end = began + job.warm_up, began + job.warm_up + job.seconds
    turns = _turns(job, began)

    async def one_after_the_other(stub: Any) -> None:
        for at in turns:
            if (wait := at - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if (sent := time.perf_counter()) >= end:
                return
            await _one(job.kind, stub, next(places), measured, max(at, sent) if at else sent, start)

    await asyncio.gather(*(one_after_the_other(next(stubs)) for _ in range(job.in_flight)))
    measured.seconds = job.seconds
    for channel in channels:
        await channel.close()
    return measured


def _turns(job: Job, began: float) -> Iterator[float]:
    """When each call is due; 0 for at once."""
    number = 0
    while True:
        yield began + number / job.rate if job.rate else 0.0
        number += 1


async def _one(
    kind: str,
    stub: Any,
    place: tuple[str, str],
    measured: Measured,
    sent: float,
    start: float,
) -> None:
    token, conversation = place
    metadata = (("authorization", f"Bearer {token}"),)
    begun = time.time()
    try:
        answer = await CALLS[kind](stub, conversation, metadata)
    except grpc.aio.AioRpcError as error:
        name = error.code().name
        measured.errors[name] = measured.errors.get(name, 0) + 1
        return
    returned = time.time()
    if sent >= start:
        measured.calls += 1
        measured.latencies.append((time.perf_counter() - sent) * 1e3)
    if kind == "send":
        assert isinstance(answer, pb.SendMessageResponse)
        key = f"{answer.message.conversation_id}/{answer.message.sequence}"
        measured.begun[key] = begun
        measured.returned[key] = returned


def main() -> None:
    job = Job(**json.loads(sys.stdin.readline()))
    print(json.dumps(asdict(asyncio.run(run(job)))), flush=True)


async def load(job: Job) -> Measured:
    """The job in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.load.client"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    out, _ = await process.communicate(json.dumps(asdict(job)).encode() + b"\n")
    given: dict[str, Any] = json.loads(out)
    return Measured(**given)


def percentile(latencies: list[float], share: float) -> float:
    """In milliseconds; 0 where there is none."""
    ordered = sorted(latencies)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


if __name__ == "__main__":
    main()
