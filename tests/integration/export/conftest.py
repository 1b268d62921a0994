"""Export on its real database, with peers that say what a test tells them to."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.export_world import ExportWorld, export_world


@pytest.fixture(scope="session")
async def running_world(service_databases, tmp_path_factory) -> AsyncIterator[ExportWorld]:
    databases = service_databases("export")
    async with export_world(databases, tmp_path_factory.mktemp("export")) as world:
        yield world


@pytest.fixture
async def world(running_world: ExportWorld) -> ExportWorld:
    """A clinic of its own, and no export of an earlier test that could be due."""
    running_world.databases.empty()
    running_world.clinic_id = uuid4()
    running_world.directory.reachable = True
    threads = running_world.threads
    threads.all, threads.asked = [], []
    threads.breaks_after = threads.holds_after = None
    threads.held.clear()
    threads.let_go.clear()
    await running_world.clinic()
    return running_world
