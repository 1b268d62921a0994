"""How our own programs are run, and how one knows that they are ready."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import closing

from deploy.local.ports import HOST, Ports
from deploy.local.process import Part
from deploy.local.state import State

_PROBE_SECONDS = 2.0
# A service drains for 2 s, gives calls under way 10 s, and closes its connections in 5 s.
_SERVICE_GRACE_SECONDS = 20.0
_SETTINGS_ARE_WRONG = 64


def service(name: str, *, state: State, port: int, environment: Mapping[str, str]) -> Part:
    """A service, ready when its own /readyz says so."""

    async def ready() -> bool:
        return await says_ok(port, "/readyz")

    return Part(
        name=name,
        command=(sys.executable, "-m", f"services.{name}", "serve"),
        log=state.logs / f"{name}.log",
        ready=ready,
        environment=environment,
        grace=_SERVICE_GRACE_SECONDS,
        refusals=frozenset({_SETTINGS_ARE_WRONG}),
    )


def migration(name: str, *, state: State, environment: Mapping[str, str]) -> Part:
    return Part(
        name=f"migrate {name}",
        command=(sys.executable, "-m", f"services.{name}", "migrate"),
        log=state.logs / f"{name}-migrate.log",
        environment=environment,
    )


def mailbox(*, state: State, ports: Ports, environment: Mapping[str, str]) -> Part:
    async def ready() -> bool:
        return await says_ok(ports["mailbox"], "/livez")

    return Part(
        name="mailbox",
        command=(
            *(sys.executable, "-m", "deploy.local.mailbox"),
            *("--directory", str(state.mailbox)),
            *("--smtp-port", str(ports["mailbox-smtp"])),
            *("--web-port", str(ports["mailbox"])),
        ),
        log=state.logs / "mailbox.log",
        ready=ready,
        environment=environment,
    )


def pushes(*, state: State, ports: Ports, environment: Mapping[str, str]) -> Part:
    async def ready() -> bool:
        return await says_ok(ports["pushes"], "/livez")

    return Part(
        name="pushes",
        command=(
            *(sys.executable, "-m", "deploy.local.pushes"),
            *("--directory", str(state.pushes)),
            *("--keys", str(state.keys)),
            *("--http2-port", str(ports["pushes-http2"])),
            *("--web-port", str(ports["pushes"])),
        ),
        log=state.logs / "pushes.log",
        ready=ready,
        environment=environment,
    )


async def says_ok(port: int, path: str) -> bool:
    """Whether an HTTP server on this machine answers 200."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            with closing(writer):
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
                status = await reader.readline()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in status
