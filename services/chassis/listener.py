"""A TCP server of short conversations, for the few protocols that are not gRPC."""

import asyncio
from abc import ABC, abstractmethod

from services.chassis.settings import RefusedToStart


class Listener(ABC):
    """At most `connections` at once, each for `seconds` and no longer; lines have `line_bytes`."""

    def __init__(self, address: str, *, connections: int, seconds: float, line_bytes: int) -> None:
        self._address = address
        self._free = asyncio.Semaphore(connections)
        self._seconds = seconds
        self._line_bytes = line_bytes
        self._server: asyncio.Server | None = None

    @abstractmethod
    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end; whoever is gone before is gone."""

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Raises RefusedToStart for an address that cannot be had."""
        host, _, port = self._address.rpartition(":")
        try:
            self._server = await asyncio.start_server(
                self._serve, host.strip("[]"), int(port), limit=self._line_bytes
            )
        except (OSError, ValueError, OverflowError) as error:
            raise RefusedToStart(f"{self._address} cannot be listened on: is it taken?") from error

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._free, asyncio.timeout(self._seconds):
                await self.converse(reader, writer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
