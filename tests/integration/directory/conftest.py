"""The directory on its real database; what the other services confirm is said by the test."""

from collections.abc import AsyncIterator

import pytest

from tests.support.directory_world import DirectoryWorld, directory_world


@pytest.fixture(scope="session")
async def running_world(service_databases, tmp_path_factory) -> AsyncIterator[DirectoryWorld]:
    databases = service_databases("directory")
    async with directory_world(databases, tmp_path_factory.mktemp("directory")) as world:
        yield world


@pytest.fixture
async def world(running_world):
    for peer in (running_world.conversations, running_world.notifications):
        peer.confirms = True
        peer.told.clear()
    return running_world


@pytest.fixture
async def owner(world):
    """The Account Owner of a new clinic."""
    return await world.clinic()
