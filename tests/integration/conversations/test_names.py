"""Names are fetched when they are new, and asked for no more often than that (section 3)."""

import asyncio
from dataclasses import replace

import pytest

from services.conversations.storage.names import Name, Names
from services.conversations.usecases.refresh_names import refresh_names
from services.directory_replica.states import Version
from services.messaging_rule import Side


@pytest.fixture
async def thread(world):
    doctor, patient = await world.staff(), await world.profile()
    await doctor.start(patient)
    return doctor, patient


@pytest.fixture
def names(world):
    return Names(world.database, world.worker)


def calling_all(text, *, version):
    """A directory in which everybody is called so."""

    async def fetch(clinic_id, staff, profiles):
        name = Name(text, version)
        return dict.fromkeys(staff, name), dict.fromkeys(profiles, name)

    return fetch


async def refresh(names, fetch):
    async with asyncio.timeout(5):
        while await refresh_names(names, fetch):
            pass


async def test_a_name_newer_than_the_replica_knows_is_not_asked_for_again(world, thread, names):
    doctor, _ = thread

    await refresh(names, calling_all("Of the third version", version=3))

    (conversation,) = await doctor.inbox(query="third")
    assert conversation.profile_display_name == "Of the third version"
    assert await names.stale() == []


async def test_an_older_name_that_comes_late_is_neither_shown_nor_found(world, thread, names):
    doctor, patient = thread
    await refresh(names, calling_all("Newer", version=3))

    await names.hold(world.clinic_id, Side.PROFILE, {patient.id: Name("Older", 2)})

    assert await doctor.inbox(query="older") == []
    assert len(await doctor.inbox(query="newer")) == 1


async def test_in_a_later_life_of_the_directory_names_are_fetched_anew(world, thread, names):
    doctor, patient = thread
    await refresh(names, calling_all("Before", version=7))

    restored = replace(
        world.state_of(patient), stamp=Version(incarnation="i2", version=1), details_version=2
    )
    await world.replica.apply([restored])
    await refresh(names, calling_all("After", version=2))

    (conversation,) = await doctor.inbox(query="after")
    assert conversation.profile_display_name == "After"
