"""The NATS of one test worker, which a test may kill, start again and rob of its store."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local import nats
from deploy.local.ports import SERVICES, claim_port
from deploy.local.process import Process, start


class NatsServer:
    def __init__(self, broker: nats.Broker, log: Path) -> None:
        self._broker = broker
        self._log = log
        self._process: Process | None = None

    def url(self, user: str = nats.OPERATOR) -> str:
        """As the operator, who may do everything, or with the rights of a service."""
        return self._broker.url(user)

    async def start(self) -> None:
        """Start it unless it runs; returns when it answers."""
        if self._process is not None:
            return
        nats.prepare(self._broker)
        self._process = await start(nats.part(self._broker, self._log))
        while not await self._process.part.ready():
            if self._process.exit_code is not None:
                raise RuntimeError(f"NATS did not start:\n{self._log.read_text()}")
            await asyncio.sleep(0.02)

    async def kill(self) -> None:
        if self._process is not None:
            await self._process.kill()
            self._process = None

    async def term(self) -> None:
        if self._process is not None:
            await self._process.terminate()
            self._process = None

    async def delete_store(self) -> None:
        """Kill it and lose all that JetStream held: streams, consumers, messages."""
        await self.kill()
        shutil.rmtree(self._broker.store, ignore_errors=True)


@asynccontextmanager
async def nats_server(
    directory: Path, users: Sequence[str] = SERVICES
) -> AsyncIterator[NatsServer]:
    port, claim = claim_port()
    passwords = {user: f"password-of-{user}" for user in (*users, nats.OPERATOR)}
    server = NatsServer(nats.Broker(directory, port, passwords), directory / "nats.log")
    with claim:
        await server.start()
        try:
            yield server
        finally:
            await server.term()
