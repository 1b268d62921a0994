"""NATS with JetStream from the binary of a wheel; each service is a user with its own subjects."""

import asyncio
import json
import sysconfig
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.ports import HOST
from deploy.local.process import Part

# May do everything; for people and tests, never for a service.
OPERATOR = "operator"
# nats-server's own default: an acknowledged message may lie in memory for so long. Enough where
# a power cut loses nothing that matters; production says "always".
DEVELOPMENT_SYNC = "2m"
_READY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Broker:
    """One server: its directory, its port, and the password of each user."""

    directory: Path
    port: int
    passwords: Mapping[str, str] = field(repr=False)
    sync_interval: str = DEVELOPMENT_SYNC

    @property
    def store(self) -> Path:
        """Streams, consumers and messages; the server makes this folder in its directory."""
        return self.directory / "jetstream"

    def url(self, user: str) -> str:
        return f"nats://{user}:{self.passwords[user]}@{HOST}:{self.port}"


def prepare(broker: Broker) -> None:
    """Write the configuration; what JetStream has stored stays as it is."""
    broker.directory.mkdir(parents=True, exist_ok=True)
    target = _configuration_file(broker)
    target.touch(mode=0o600)
    target.write_text(json.dumps(configuration(broker), indent=2))


def part(broker: Broker, log: Path) -> Part:
    """How the server is run, once prepare() has written its configuration."""
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"

    async def ready() -> bool:
        return await answers(broker)

    return Part(
        name="nats",
        command=(str(binary), "--config", str(_configuration_file(broker))),
        log=log,
        ready=ready,
    )


def configuration(broker: Broker) -> dict[str, object]:
    """JSON is a subset of the language that nats-server reads."""
    users = [
        {"user": user, "password": password, "permissions": _permissions(user)}
        for user, password in broker.passwords.items()
    ]
    return {
        "server_name": "clinic-local",
        "host": HOST,
        "port": broker.port,
        "jetstream": {"store_dir": str(broker.directory), "sync_interval": broker.sync_interval},
        "authorization": {"users": users},
    }


async def answers(broker: Broker) -> bool:
    """Whether the server greets with JetStream on; needs no user."""
    try:
        async with asyncio.timeout(_READY_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, broker.port)
            with closing(writer):
                greeting = await reader.readline()
    except (OSError, TimeoutError):
        return False
    return b'"jetstream":true' in greeting


def _permissions(user: str) -> dict[str, object]:
    """A service publishes its own events and reads everybody's, which hold no text.

    It makes a stream that is gone, also that of another which it reads; it may not change, purge
    or delete one.
    """
    if user == OPERATOR:
        return {"publish": ">", "subscribe": ">"}
    return {
        "publish": [
            f"{user}.>",
            f"wake.{user}",
            "$JS.API.INFO",
            "$JS.API.STREAM.NAMES",
            "$JS.API.STREAM.INFO.*",
            "$JS.API.STREAM.CREATE.*",
            "$JS.API.CONSUMER.>",
            "$JS.ACK.>",
        ],
        "subscribe": [f"_INBOX_{user}.>", f"wake.{user}"],
    }


def _configuration_file(broker: Broker) -> Path:
    return broker.directory / "nats.json"
