"""Real servers for every test that asks: one PostgreSQL a run, one NATS a worker."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from tests.support.composed import composed_suite
from tests.support.nats import NatsServer
from tests.support.nats import nats_server as running_nats_server
from tests.support.postgres import PostgresServer, ServiceDatabase, shared_server
from tests.support.stack import running_stack
from tests.support.two_clinics import TwoClinics, settle

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
# These own whole stacks; side by side they would only take the processor from each other. One
# worker runs them all, and starts the shared one once.
_ALONE = ("access", "e2e", "faults")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(tests).parts[0]
        if folder in _ALONE:
            item.add_marker(pytest.mark.xdist_group("whole stacks"))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server for all workers: `database()` gives an empty one, `clone()` a migrated one."""
    base = tmp_path_factory.getbasetemp()
    run = base if WORKER == "main" else base.parent
    with shared_server(run, WORKER) as server:
        yield server


@pytest.fixture(scope="session")
def service_databases(postgres: PostgresServer) -> Callable[[str], ServiceDatabase]:
    """`service_databases("directory")`: this worker's own, made once; `.empty()` truncates it."""
    return cache(postgres.clone)


@pytest.fixture(scope="session")
async def nats_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    """This worker's own; a test that kills it starts it again."""
    async with running_nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    """The whole suite, started once for all that asks; a test leaves every part of it running."""
    async with running_stack() as running:
        yield running


@pytest.fixture(scope="session")
async def two_clinics(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[TwoClinics]:
    """All services in this process, with two clinics full of people; nobody else's data."""
    folder = tmp_path_factory.mktemp("composed")
    async with (
        running_nats_server(folder / "nats") as broker,
        composed_suite(postgres.clone, broker, folder, label="composed") as suite,
    ):
        yield await settle(suite)
