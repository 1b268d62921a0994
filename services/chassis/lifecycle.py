"""The life of a process: start, become ready, serve, drain, stop."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from services.chassis import http
from services.chassis.interceptors.authentication import Verifier
from services.chassis.interceptors.guard import OnDenied
from services.chassis.limits import (
    DRAIN_WAIT,
    INTERNAL_REQUEST_BYTES,
    INTERNAL_RESPONSE_BYTES,
    REQUEST_BYTES,
    RESPONSE_BYTES,
    STOP_GRACE,
)
from services.chassis.logs import class_of, configure, get_logger
from services.chassis.server import BuiltServer, Registration, build_server
from services.chassis.settings import ChassisSettings, RefusedToStart, SettingsError
from services.chassis.telemetry import TASK_RESTARTS, exposition

EXIT_SETTINGS = 64
_CHECK_EVERY = timedelta(seconds=0.25)
_CHECK_TIMEOUT = timedelta(seconds=2)
_CLOSE_TIMEOUT = timedelta(seconds=5)
_CANCELS = 5
_BACK_OFF_FIRST = timedelta(seconds=0.1)
_BACK_OFF_MOST = timedelta(seconds=5)

# A check answers None when all is well, or the reason why not; it may also raise.
Check = Callable[[], Awaitable[str | None]]
Task = Callable[[], Awaitable[None]]
Close = Callable[[], Awaitable[None]]

log = get_logger()


class Door(Protocol):
    """A listener of a service's own; `start` raises RefusedToStart."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Everything that one process runs.

    `tasks` run for ever, from the moment the service is ready; one that fails is logged and
    started again. `ready` says what has to be there first. `doors` are what it listens on beside
    gRPC, metrics and probes. `close` runs in order, last of all.
    `draining` is set when the process begins to stop: streams should then tell their clients to
    reconnect, and end.
    """

    name: str
    settings: ChassisSettings
    verifier: Verifier
    public: Sequence[Registration] = ()
    internal: Sequence[Registration] = ()
    tasks: Mapping[str, Task] = field(default_factory=dict)
    ready: Mapping[str, Check] = field(default_factory=dict)
    close: Sequence[Close] = ()
    doors: Sequence[Door] = ()
    on_denied: OnDenied | None = None
    draining: asyncio.Event = field(default_factory=asyncio.Event)


def main(compose: Callable[[], Awaitable[Service]]) -> int:
    """Compose and run a service in a loop of its own; the exit code of the process.

    0 after a stop that was asked for, 64 for settings that are wrong, 1 for anything else that
    keeps it from starting or running.
    """
    configure("process", "info", "json")
    try:
        return asyncio.run(_composed(compose))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_SETTINGS
    except RefusedToStart as error:
        print(f"Not started: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    except Exception as error:
        log.critical("process_crashed", exc_info=error)
        return 1


async def _composed(compose: Callable[[], Awaitable[Service]]) -> int:
    service = await compose()
    return await run(service)


async def run(service: Service) -> int:
    """Serve until SIGTERM or SIGINT; a second one ends the process at once."""
    settings = service.settings
    configure(service.name, settings.log_level, settings.log_format)
    _collect_rarely()
    process = Process(service)
    _on_signals(process.stop_soon)
    return await process.run()


def _collect_rarely() -> None:
    """What a process begins with stays, and a call leaves no cycles behind: the usual thresholds
    would spend a twentieth of its time looking at both."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _on_signals(stop_soon: Callable[[], None]) -> None:
    def handle() -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        stop_soon()

    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, handle)


class Process:
    """One service's servers, tasks and end."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._asked_to_stop = asyncio.Event()
        self._is_ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.public: BuiltServer | None = None
        self.internal: BuiltServer | None = None
        self.http: http.HttpServer | None = None

    def stop_soon(self) -> None:
        self._asked_to_stop.set()

    async def run(self) -> int:
        async with AsyncExitStack() as ending:
            for close in reversed(self._service.close):
                ending.push_async_callback(_closed, close)
            await self._start(ending)
            readiness = asyncio.create_task(self._become_ready())
            ending.push_async_callback(_cancelled, [readiness])
            await self._asked_to_stop.wait()
            await self._drain()
        log.info("process_stopped")
        return 0

    async def ready(self) -> None:
        """Waits until the service serves."""
        await self._is_ready.wait()

    async def _start(self, ending: AsyncExitStack) -> None:
        settings = self._service.settings
        self.http = http.HttpServer(settings.http_listen, self._routes())
        self.public = self._built(settings.listen, self._service.public)
        self.internal = self._built(
            settings.internal_listen,
            self._service.internal,
            request_bytes=INTERNAL_REQUEST_BYTES,
            response_bytes=INTERNAL_RESPONSE_BYTES,
        )
        ending.push_async_callback(self.http.stop)
        ending.push_async_callback(_cancelled, self._tasks)
        await self.http.start()
        for door in self._service.doors:
            ending.push_async_callback(door.stop)
            await door.start()
        for server in (self.public, self.internal):
            ending.push_async_callback(server.server.stop, None)
            await server.start()
        log.info(
            "process_started",
            listen=settings.listen,
            internal_listen=settings.internal_listen,
            http_listen=settings.http_listen,
            development=settings.development,
        )

    def _built(
        self,
        address: str,
        registrations: Sequence[Registration],
        *,
        request_bytes: int = REQUEST_BYTES,
        response_bytes: int = RESPONSE_BYTES,
    ) -> BuiltServer:
        settings = self._service.settings
        return build_server(
            service=self._service.name,
            address=address,
            registrations=registrations,
            verifier=self._service.verifier,
            tls=settings.tls,
            on_denied=self._service.on_denied,
            reflect=settings.development,
            request_bytes=request_bytes,
            response_bytes=response_bytes,
        )

    async def _become_ready(self) -> None:
        told: dict[str, str] = {}
        while waiting := await self._not_ready():
            if waiting != told:
                log.info("not_ready", missing=sorted(waiting))
                told = waiting
            await asyncio.sleep(_CHECK_EVERY.total_seconds())
        for name, task in self._service.tasks.items():
            self._tasks.append(asyncio.create_task(_supervised(name, task), name=name))
        for server in (self.public, self.internal):
            if server is not None:
                await server.health.set(serving=True)
        self._is_ready.set()
        log.info("process_ready")

    async def _not_ready(self) -> dict[str, str]:
        """Every check that fails, and why; a check that raises is told by its error's class."""
        names = list(self._service.ready)
        answers = await asyncio.gather(*(_checked(self._service.ready[name]) for name in names))
        return {name: answer for name, answer in zip(names, answers, strict=True) if answer}

    async def _drain(self) -> None:
        """Leave the load balancers first, then end what is under way."""
        log.info("process_draining")
        servers = [server for server in (self.public, self.internal) if server is not None]
        for server in servers:
            await server.health.leave()
        self._service.draining.set()
        if not self._service.settings.development:
            await asyncio.sleep(DRAIN_WAIT.total_seconds())
        grace = STOP_GRACE.total_seconds()
        await asyncio.gather(*(server.server.stop(grace) for server in servers))

    def _routes(self) -> http.Routes:
        return {
            ("GET", "/metrics"): _metrics,
            ("GET", "/livez"): _alive,
            ("GET", "/readyz"): self._readiness,
        }

    async def _readiness(self, _request: http.Request) -> http.Response:
        missing = await self._not_ready()
        if self._asked_to_stop.is_set():
            missing["process"] = "stopping"
        elif not missing and not self._is_ready.is_set():
            missing["process"] = "starting"
        return http.as_json(503 if missing else 200, {"ready": not missing, "missing": missing})


async def _metrics(_request: http.Request) -> http.Response:
    return http.Response(200, exposition(), "text/plain; version=0.0.4; charset=utf-8")


async def _alive(_request: http.Request) -> http.Response:
    return http.Response(200, b"alive\n")


async def _checked(check: Check) -> str | None:
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT.total_seconds()):
            return await check()
    except Exception as error:
        return class_of(error)


async def _supervised(name: str, task: Task) -> None:
    """Run a task for ever. One that ran longer than the longest pause starts afresh with it."""
    loop = asyncio.get_running_loop()
    pause = _BACK_OFF_FIRST
    while True:
        began = loop.time()
        try:
            await task()
            log.error("task_ended", task=name)
        except Exception as error:
            log.error("task_failed", task=name, exc_info=error)
        TASK_RESTARTS.labels(name).inc()
        if loop.time() - began > _BACK_OFF_MOST.total_seconds():
            pause = _BACK_OFF_FIRST
        await asyncio.sleep(pause.total_seconds())
        pause = min(pause * 2, _BACK_OFF_MOST)


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel, and wait for what they have to put away.

    Said again to whoever goes on: `asyncio.wait_for` loses a cancellation that comes together with
    what it waits for, and the NATS client uses it everywhere.
    """
    pending = set(tasks)
    for _ in range(_CANCELS):
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(
                pending, timeout=_CLOSE_TIMEOUT.total_seconds() / _CANCELS
            )


async def _closed(close: Close) -> None:
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT.total_seconds()):
            await close()
    except Exception as error:
        log.error("close_failed", exc_info=error)
