"""All four services in this process, put together by their own `app.py`, each on both its ports.

What a stack of processes has, for tests that make thousands of calls: the real composition, real
databases and NATS, real channels. Only SMTP is nowhere.
"""

import asyncio
import importlib
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import grpc
import psycopg
from joserfc.jwk import OKPKey
from psycopg.rows import TupleRow

from deploy.local.environment import PEERS
from deploy.local.keys import GOOGLE_ACCOUNT, make_push_keys
from deploy.local.ports import HOST, SERVICES, Ports, ports_of
from services.chassis.clock import system_clock
from services.chassis.lifecycle import Process
from tests.support.conversations_world import MASTER_KEY
from tests.support.grpc_world import AUDIENCE, ISSUER, Keys
from tests.support.nats import NatsServer
from tests.support.postgres import ServiceDatabase

MACHINES = (*(f"service:{name}" for name in SERVICES), "platform:gateway", "ops:support")
_READY_SECONDS = 60
_NOWHERE = f"http://{HOST}:1"
# More than one person may send; a test that calls thousands of times is nobody in particular.
_HURRIED = {"SEND_RATE_ACTOR": "100000", "SEND_BURST_ACTOR": "100000", "SEND_RATE_CLINIC": "100000"}


@dataclass(frozen=True, slots=True)
class Composed:
    """The services as a caller reaches them; `doors` are channels by the name of a port."""

    keys: Keys
    ports: Ports
    doors: Mapping[str, grpc.aio.Channel]
    tables: Mapping[str, psycopg.Connection]

    def door(self, service: str, *, public: bool) -> grpc.aio.Channel:
        return self.doors[service if public else f"{service}-internal"]

    def rows(self, service: str, query: str, *parameters: object) -> list[TupleRow]:
        """What is in a service's tables, seen by the superuser."""
        cursor = self.tables[service].execute(query.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def composed_suite(
    databases_of: Callable[..., ServiceDatabase], nats: NatsServer, folder: Path, *, label: str
) -> AsyncIterator[Composed]:
    """Ready to be called; every service's background work runs."""
    keys = _keys(folder)
    databases = {service: databases_of(service, label=label) for service in SERVICES}
    ports = Ports({}).with_free(name for service in SERVICES for name in ports_of(service))
    async with AsyncExitStack() as ending:
        ending.callback(ports.release)
        for service in SERVICES:
            given = _environment(service, databases[service], nats, ports, folder)
            await _start(ending, service, given)
        doors = {
            name: await ending.enter_async_context(grpc.aio.insecure_channel(ports.address(name)))
            for service in SERVICES
            for name in ports_of(service)[:2]
        }
        tables = {
            service: ending.enter_context(psycopg.connect(found.superuser, autocommit=True))
            for service, found in databases.items()
        }
        yield Composed(keys, ports, doors, tables)


async def _start(ending: AsyncExitStack, service: str, environment: Mapping[str, str]) -> None:
    app = importlib.import_module(f"services.{service}.app")
    with patch.dict(os.environ, environment):
        process = Process(await app.compose())
    running = asyncio.create_task(process.run())
    ready = asyncio.create_task(process.ready())
    await asyncio.wait(
        (running, ready), timeout=_READY_SECONDS, return_when=asyncio.FIRST_COMPLETED
    )
    assert ready.done(), f"{service} did not become ready"

    async def stop() -> None:
        process.stop_soon()
        assert await running == 0

    ending.push_async_callback(stop)


def _keys(folder: Path) -> Keys:
    keys = Keys(folder, system_clock)
    keys.machines = {name: OKPKey.generate_key("Ed25519", {"kid": name}) for name in MACHINES}
    keys.write()
    for name, key in keys.machines.items():
        (folder / f"{name}.jwk").write_text(json.dumps(key.as_dict(private=True)))
    (folder / "master.key").write_text(MASTER_KEY)
    make_push_keys(folder, sign_in_url=f"{_NOWHERE}/token")
    return keys


def _environment(
    service: str, database: ServiceDatabase, nats: NatsServer, ports: Ports, folder: Path
) -> dict[str, str]:
    public, internal, http = map(ports.address, ports_of(service))
    named = {
        "DATABASE_URL": database.app,
        "WORKER_DATABASE_URL": database.worker,
        "NATS_URL": nats.url(service),
        "LISTEN": public,
        "INTERNAL_LISTEN": internal,
        "HTTP_LISTEN": http,
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": AUDIENCE,
        "ISSUER_JWKS": str(folder / "issuer.jwks"),
        "CALLERS_JWKS": str(folder / "callers.jwks"),
        "SIGNING_KEY": str(folder / f"service:{service}.jwk"),
        "SEALING_KEY": MASTER_KEY,
        "DEVELOPMENT": "true",
        **{f"{peer.upper()}_TARGET": ports.address(f"{peer}-internal") for peer in PEERS[service]},
        **_own(service, folder),
    }
    return {f"{service.upper()}_{name}": value for name, value in named.items()}


def _own(service: str, folder: Path) -> Mapping[str, str]:
    """What only one service is told."""
    mail = {"SMTP_HOST": HOST, "SMTP_PORT": "1", "MAIL_FROM": "messages@clinic.test"}
    push = {"FCM_CREDENTIALS": str(folder / GOOGLE_ACCOUNT), "FCM_URL": _NOWHERE}
    return {
        "conversations": {"MASTER_KEY_FILE": str(folder / "master.key"), **_HURRIED},
        "export": {"DIRECTORY": str(folder / "exports"), "CUTOFF": "0"},
        "notifications": mail | push,
    }.get(service, {})
