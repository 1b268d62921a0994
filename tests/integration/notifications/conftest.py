"""Notifications on its real database, with a real mail server."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.notifications_world import NotificationsWorld, notifications_world


@pytest.fixture(scope="session")
async def running_world(service_databases, tmp_path_factory) -> AsyncIterator[NotificationsWorld]:
    databases = service_databases("notifications")
    async with notifications_world(databases, tmp_path_factory.mktemp("notifications")) as world:
        yield world


@pytest.fixture
async def world(running_world: NotificationsWorld) -> NotificationsWorld:
    """A clinic of its own, whose mail does not wait, and a mail server without faults."""
    running_world.clinic_id = uuid4()
    running_world.directory.reachable = True
    running_world.incarnation = "i1"
    running_world.details.portal = "https://portal.test/clinic"
    running_world.faults.clear()
    await running_world.clinic()
    return running_world
