"""The push services of deploy/local: in this process, or those of a stack as tests use them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from deploy.local.keys import (
    APPLE_KEY,
    APPLE_KEY_ID,
    APPLE_TEAM_ID,
    APPLE_TOPIC,
    GOOGLE_ACCOUNT,
    make_push_keys,
)
from deploy.local.ports import HOST
from deploy.local.pushes.credentials import Apple, Google
from deploy.local.pushes.faults import Fault, Faults
from deploy.local.pushes.http2 import Protocol
from deploy.local.pushes.services import PushServices
from deploy.local.pushes.store import Push, Pushes
from services.chassis.clock import Clock, system_clock
from services.notifications.channels.apns import Apns
from services.notifications.channels.fcm import AccessTokens, Fcm
from services.notifications.channels.push_credentials import (
    read_apple_key,
    read_service_account,
)
from services.notifications.channels.push_transport import Transport
from tests.support.sink_client import SinkClient


@dataclass
class PushSink:
    """What came, what shall go wrong, and who may push."""

    url: str
    keys: Path
    pushes: Pushes
    faults: Faults
    google: Google
    protocols: list[Protocol] = field(default_factory=list)

    @property
    def connections(self) -> int:
        """How many were made so far."""
        return len(self.protocols)

    def hang_up(self) -> None:
        """Close all connections, as a service does with those that are idle for long."""
        for protocol in self.protocols:
            protocol.hang_up()

    def fail(self, token: str = "", **fault: Any) -> None:
        self.faults.set(Fault(token=token, **fault))

    def taken(self, token: str = "") -> list[Push]:
        """Newest first."""
        return self.pushes.list(to=token)

    def fcm(self, *, clock: Clock = system_clock, seconds: float = 10.0) -> Fcm:
        account = read_service_account(self.keys / GOOGLE_ACCOUNT, development=True)
        transports = [Transport(self.url, clock=clock, seconds=seconds) for _ in range(2)]
        tokens = AccessTokens(account, transports[0], clock=clock)
        return Fcm(account, tokens=tokens, transport=transports[1])

    def apns(self, *, clock: Clock = system_clock, seconds: float = 10.0) -> Apns:
        key = read_apple_key(
            self.keys / APPLE_KEY, key_id=APPLE_KEY_ID, team_id=APPLE_TEAM_ID, topic=APPLE_TOPIC
        )
        return Apns(key, transport=Transport(self.url, clock=clock, seconds=seconds), clock=clock)


@cache
def _keys() -> dict[str, bytes]:
    """Made once a process: a key of Google's kind takes its time."""
    with TemporaryDirectory() as folder:
        make_push_keys(Path(folder), sign_in_url="")
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


@asynccontextmanager
async def push_sink(directory: Path) -> AsyncIterator[PushSink]:
    """On a port of its own; what still hangs at the end is let go."""
    loop = asyncio.get_running_loop()
    faults, pushes = Faults(), Pushes(directory / "pushes")
    keys = directory / "push-keys"
    keys.mkdir(exist_ok=True)
    for name, content in _keys().items():
        (keys / name).write_bytes(content)
    services: list[PushServices] = []
    sinks: list[PushSink] = []

    def connection() -> Protocol:
        protocol = Protocol(services[0].answer, faults)
        sinks[0].protocols.append(protocol)
        return protocol

    server = await loop.create_server(connection, HOST, 0)
    url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    make_push_keys(keys, sign_in_url=f"{url}/token")
    google = Google(keys)
    services.append(PushServices(google, Apple(keys), pushes, faults))
    sinks.append(PushSink(url, keys, pushes, faults, google))
    try:
        yield sinks[0]
    finally:
        faults.clear()
        server.close()


class PushesClient(SinkClient):
    """The sink of a running stack."""

    async def pushes(self, *, to: str = "") -> list[Any]:
        """Newest first; all, or those to one token."""
        found: list[Any] = json.loads(await self._call("GET", f"/pushes?to={quote(to)}"))
        return found

    async def clear(self) -> None:
        await self._call("DELETE", "/pushes")

    async def fail(self, token: str, **fault: object) -> None:
        await self._call("POST", "/faults", {"token": token, **fault})
