"""What the steps around a call cost: a null call through a bare grpc.aio server and through ours.

    python -m tests.load.null_call [--in-flight 16] [--calls 4000] [--rounds 5]

Each server is a process of its own and runs in turn with the other; the figures are medians of the
rounds. The client shares the machine, so that the processor time of the server says more than the
rate.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import grpc

from services.chassis.clock import system_clock
from services.chassis.logs import configure
from tests.support.grpc_world import (
    EchoServicer,
    Keys,
    bearer,
    echo_pb2,
    echo_pb2_grpc,
    echo_registration,
    serving,
)

METHOD = "/clinic.tests.v1.EchoService/Unary"


@dataclass(frozen=True, slots=True)
class Figure:
    rate: float
    cpu_microseconds: float


async def serve_bare(keys: Keys) -> None:
    server = grpc.aio.server()
    echo_pb2_grpc.add_EchoServiceServicer_to_server(EchoServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await answer_parent(port, keys)
    await server.stop(None)


async def serve_ours(keys: Keys) -> None:
    async with serving(keys, [echo_registration(EchoServicer())], outermost=()) as world:
        await answer_parent(world.built.port, keys)


async def serve(kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        configure("echo", "info", "json", stream=log)
        keys = Keys(Path(folder), system_clock)
        await (serve_bare(keys) if kind == "bare" else serve_ours(keys))


async def answer_parent(port: int, keys: Keys) -> None:
    """Tell where the server is and a token; then the processor time so far, for each line read."""
    print(port, keys.person(), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(time.process_time(), flush=True)


class Server:
    """A server process as its parent sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, kind: str) -> "Server":
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.load.null_call", "--serve", kind),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )

    async def line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode()

    async def cpu_seconds(self) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return float(await self.line())

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def call_many(call: Any, metadata: Sequence[tuple[str, str]], calls: int, width: int) -> None:
    request = echo_pb2.EchoRequest(text="x").SerializeToString()
    left = iter(range(calls))

    async def one_after_the_other() -> None:
        for _ in left:
            await call(request, metadata=metadata, timeout=10)

    await asyncio.gather(*(one_after_the_other() for _ in range(width)))


async def measure(kind: str, calls: int, width: int) -> Figure:
    server = await Server.start(kind)
    port, token = (await server.line()).split()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(METHOD)
        metadata = bearer(token)
        await call_many(call, metadata, calls // 10, width)
        cpu, began = await server.cpu_seconds(), time.perf_counter()
        await call_many(call, metadata, calls, width)
        elapsed, used = time.perf_counter() - began, await server.cpu_seconds() - cpu
    await server.stop()
    return Figure(calls / elapsed, used / calls * 1e6)


async def compare(calls: int, width: int, rounds: int) -> None:
    figures: dict[str, list[Figure]] = {"bare": [], "ours": []}
    for _ in range(rounds):
        for kind, taken in figures.items():
            taken.append(await measure(kind, calls, width))
    middle = {
        kind: Figure(median(f.rate for f in taken), median(f.cpu_microseconds for f in taken))
        for kind, taken in figures.items()
    }
    for kind, figure in middle.items():
        print(
            f"{kind}: {figure.rate:5.0f} calls/s, {figure.cpu_microseconds:4.0f} µs of CPU a call"
        )
    bare, ours = middle["bare"], middle["ours"]
    print(f"ratio: {ours.rate / bare.rate:.2f} of the rate", end=", ")
    print(f"{bare.cpu_microseconds / ours.cpu_microseconds:.2f} by processor time")


def main() -> None:
    parser = argparse.ArgumentParser(description="What the steps around a call cost.")
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--calls", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", choices=("bare", "ours"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.serve))
    else:
        asyncio.run(compare(given.calls, given.in_flight, given.rounds))


if __name__ == "__main__":
    main()
