"""The whole suite as one object: started together, taken apart one by one, ended together."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from deploy.local import nats, postgres
from deploy.local.blueprint import Blueprint
from deploy.local.databases import Database, provide
from deploy.local.keys import make_keys, make_push_keys
from deploy.local.migrations import fingerprint
from deploy.local.ports import SERVICES, Ports, PortTaken, free, ports_of, require_free
from deploy.local.process import run
from deploy.local.state import State
from deploy.local.supervisor import PartFailed, Supervisor, Tell, report

# What a run that was killed left behind ends by itself within this time.
_LEFTOVERS_SECONDS = 20.0


def say_nothing(sentence: str) -> None:
    """For those who only want the stack."""


class Stack:
    """Use it as a context manager: inside, all parts are ready; outside, none is left.

    Its data stay in `directory`, where the next stack finds them again. The parts are "postgres",
    "nats", "mailbox", "pushes" and the services by their names.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ports: Ports,
        overrides: Mapping[str, str] | None = None,
        services: Sequence[str] = SERVICES,
        tell: Tell = say_nothing,
    ) -> None:
        state = State(directory.resolve())
        self.plan = Blueprint(state, ports, tuple(services), dict(overrides or {}))
        self._tell = tell
        self._supervisor = Supervisor(tell)
        self._held = ExitStack()
        self._copies: list[str] = []

    @classmethod
    @asynccontextmanager
    async def throwaway(
        cls,
        *,
        overrides: Mapping[str, str] | None = None,
        services: Sequence[str] = SERVICES,
        tell: Tell = say_nothing,
    ) -> AsyncIterator[Self]:
        """A stack in a new directory and on free ports, both given back at the end."""
        directory = Path(tempfile.mkdtemp(prefix="clinic-stack-"))
        stack = cls(directory, ports=free(), overrides=overrides, services=services, tell=tell)
        try:
            async with stack:
                yield stack
        finally:
            postgres.remove(directory)
            shutil.rmtree(directory)
            stack.plan.ports.release()

    # Where things are.

    @property
    def keys(self) -> Path:
        return self.plan.state.keys

    @property
    def logs(self) -> Path:
        return self.plan.state.logs

    @property
    def mailbox_url(self) -> str:
        return f"http://{self.plan.ports.address('mailbox')}"

    @property
    def pushes_url(self) -> str:
        return f"http://{self.plan.ports.address('pushes')}"

    def address(self, service: str) -> str:
        """host:port of the public gRPC services."""
        return self.plan.ports.address(service)

    def internal_address(self, service: str) -> str:
        """host:port of the internal gRPC services."""
        return self.plan.ports.address(f"{service}-internal")

    def http_url(self, service: str) -> str:
        """Where /metrics, /livez and /readyz are."""
        return f"http://{self.plan.ports.address(f'{service}-http')}"

    def environment(self, service: str) -> dict[str, str]:
        """The settings of a service."""
        return self.plan.settings(service)

    def database(self, service: str) -> Database:
        """How the roles of a service reach its database."""
        return self.plan.database(service)

    def superuser_url(self, database: str) -> str:
        return self.plan.cluster.url(database)

    def nats_url(self, user: str = nats.OPERATOR) -> str:
        return self.plan.broker.url(user)

    # What may happen to a part.

    def pid(self, name: str) -> int:
        """Raises ProcessLookupError while the part is down."""
        return self._supervisor.process(name).pid

    async def kill(self, name: str) -> None:
        """SIGKILL to the part and its children; it stays down until start()."""
        await self._supervisor.kill(name)

    async def term(self, name: str) -> None:
        """Ask the part to end and wait for it; it stays down until start()."""
        await self._supervisor.term(name)

    async def start(self, name: str) -> None:
        """Start a part that kill() or term() ended; returns when it is ready."""
        await self._supervisor.again(name)

    async def restart(self, name: str) -> None:
        await self.term(name)
        await self.start(name)

    async def copy(self, service: str) -> str:
        """Start one more process of a service, on ports of its own, and return its name.

        The name serves wherever that of a part does; others go on calling the first process.
        """
        name = f"{service}-{len(self._copies) + 2}"
        self.plan = replace(self.plan, ports=self.plan.ports.with_free(ports_of(name)))
        self._copies.append(name)
        await self._supervisor.start(self.plan.copy(service, name))
        return name

    async def ready(self, name: str) -> None:
        """Wait for a part that is starting or recovering by itself."""
        await self._supervisor.ready(name)

    def stop(self, name: str) -> None:
        """SIGSTOP: the part holds still, with all its connections open, until cont()."""
        self._supervisor.signal(name, signal.SIGSTOP)

    def cont(self, name: str) -> None:
        self._supervisor.signal(name, signal.SIGCONT)

    # Life and end.

    async def __aenter__(self) -> Self:
        self._held.enter_context(self.plan.state.held())
        try:
            await self._come_up()
        except BaseException:
            await self._go_down()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._go_down()

    async def _come_up(self) -> None:
        state = self.plan.state
        state.logs.mkdir(exist_ok=True)
        await self._wait_for_ports()
        self._tell("Starting PostgreSQL, NATS, the mailbox, the push sink and the services …")
        state.note_running(self.plan.summary())
        make_keys(state.keys)
        make_push_keys(state.keys, sign_in_url=f"{self.plan.push_services}/token")
        await together(self._come_up_with_tables(), self._start_nats(), self._start_sinks())
        services = [self._supervisor.start(self.plan.service(name)) for name in self.plan.services]
        await together(*services)

    async def _go_down(self) -> None:
        """In reverse order; services first, so that they can still say goodbye to the others."""
        await self._supervisor.end((*self.plan.services, *self._copies))
        await self._supervisor.end(["nats", "mailbox", "pushes"])
        await self._supervisor.end(["postgres"])
        self.plan.state.note_ended()
        self._held.close()

    async def _wait_for_ports(self) -> None:
        """Parts of a run that was killed are ending now; anybody else keeps the port."""
        deadline = asyncio.get_running_loop().time() + _LEFTOVERS_SECONDS
        names = tuple(self.plan.port_names())
        while True:
            try:
                return require_free(self.plan.ports, names)
            except PortTaken:
                late = asyncio.get_running_loop().time() > deadline
                if late or not self.plan.state.was_killed():
                    raise
            await asyncio.sleep(0.2)

    async def _come_up_with_tables(self) -> None:
        if self.plan.uses_own("DATABASE_URL"):
            await asyncio.to_thread(postgres.prepare, self.plan.cluster)
            await self._supervisor.start(self.plan.postgres())
            await asyncio.to_thread(self._provide_databases)
        await together(*(self._migrate(service) for service in self.plan.services))

    def _provide_databases(self) -> None:
        with psycopg.connect(self.superuser_url("postgres"), autocommit=True) as superuser:
            for service in self.plan.services:
                provide(superuser, self.database(service))

    async def _migrate(self, service: str) -> None:
        """Unless this very code has done so before in this directory."""
        state, wanted = self.plan.state, fingerprint(service)
        if state.recall(f"{service}-migrated") == wanted:
            return
        part = self.plan.migration(service)
        if await run(part) != 0:
            raise PartFailed(report(part, "failed"))
        state.note(f"{service}-migrated", wanted)

    async def _start_nats(self) -> None:
        if self.plan.uses_own("NATS_URL"):
            nats.prepare(self.plan.broker)
            await self._supervisor.start(self.plan.nats())

    async def _start_sinks(self) -> None:
        await together(
            self._supervisor.start(self.plan.mailbox()),
            self._supervisor.start(self.plan.pushes()),
        )


async def together(*tasks: Coroutine[None, None, None]) -> None:
    """All at once; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
