"""Conversations on its real database, the directory's word given by the test."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.conversations_world import ConversationsWorld, conversations_world


@pytest.fixture(scope="session")
async def running_world(service_databases, tmp_path_factory) -> AsyncIterator[ConversationsWorld]:
    databases = service_databases("conversations")
    async with conversations_world(databases, tmp_path_factory.mktemp("conversations")) as world:
        yield world


@pytest.fixture
async def world(running_world):
    """A clinic of its own, with messaging allowed."""
    running_world.clinic_id = uuid4()
    running_world.directory.reachable = True
    await running_world.clinic()
    return running_world
