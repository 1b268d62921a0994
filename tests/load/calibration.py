"""What this machine does at the moment of a run, for figures to be compared with."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from deploy.local.stack import Stack
from tests.load.client import Job, Measured, load
from tests.load.null_call import Server


async def null_rate(kind: str, in_flight: int, seconds: float, processes: int) -> Measured:
    """Null calls, spread over processes of a server that does nothing."""
    servers = [await Server.start(kind) for _ in range(processes)]
    told = [(await server.line()).split() for server in servers]
    jobs = [
        load(
            Job([f"127.0.0.1:{port}"], "null", in_flight // processes or 1, seconds, [(token, "")])
        )
        for port, token in told
    ]
    parts = await asyncio.gather(*jobs)
    for server in servers:
        await server.stop()
    return Measured(
        calls=sum(part.calls for part in parts),
        seconds=seconds,
        latencies=[latency for part in parts for latency in part.latencies],
    )


def raw_commits(stack: Stack, service: str, seconds: float) -> list[float]:
    """Milliseconds of one INSERT and its commit, one after the other."""
    took = []
    with psycopg.connect(stack.superuser_url(service), autocommit=True) as connection:
        connection.execute("create table if not exists raw_commits (id bigserial, body text)")
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            connection.execute("insert into raw_commits (body) values ('x')")
            took.append((time.perf_counter() - began) * 1e3)
        connection.execute("drop table raw_commits")
    return took


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Memory:
    """The most memory that a process was seen with, looked at four times a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.most_kib = 0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            self.most_kib = max(self.most_kib, resident_kib(self._pid))
            await asyncio.sleep(0.25)
