"""Keys change while messages come and go, and nobody notices (P22)."""

import asyncio
import base64
import os
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import grpc
import pytest
from sqlalchemy import text

from services.chassis import keys
from services.chassis.clock import system_clock
from services.chassis.identity import Caller, Role
from services.chassis.keys import DataKeys, FileKeyProvider, WrongMasterKey
from tests.support.conversations_world import ConversationsWorld, conversations_world
from tests.support.grpc_world import failure, reason

_USED = text("""
select count(distinct key_version) as used, max(key_version) as newest from messages
where clinic_id = :clinic_id
""")
_SWAP = """
update messages as m set {columns} from messages as other
where other.clinic_id = m.clinic_id and other.id <> m.id and m.conversation_id = any (:threads)
  and other.conversation_id = any (:threads)
"""


@pytest.fixture(scope="module")
def databases(postgres):
    """Keys of these tests alone, for the master key of others stays as it is."""
    return postgres.clone("conversations", label="keys")


@pytest.fixture(scope="module")
def master_keys(tmp_path_factory):
    """The one that wrapped what is stored, and its successor."""
    folder = tmp_path_factory.mktemp("master-keys")
    paths = [folder / "old.key", folder / "new.key"]
    for path in paths:
        path.write_text(base64.b64encode(os.urandom(32)).decode())
    return paths


@pytest.fixture
async def copies(master_keys, databases, tmp_path, monkeypatch):
    """Two processes with the old master key and one with the new, as while it is replaced."""
    monkeypatch.setattr(keys, "_NEWEST_FOR", timedelta(milliseconds=30))
    old, new = master_keys
    async with AsyncExitStack() as stack:
        worlds: list[ConversationsWorld] = []
        for number, (path, other) in enumerate(((old, new), (old, new), (new, old))):
            folder = tmp_path / str(number)
            folder.mkdir()
            provider = FileKeyProvider(path, other=other)
            world = await stack.enter_async_context(
                conversations_world(databases, folder, provider=provider)
            )
            world.clinic_id = worlds[0].clinic_id if worlds else world.clinic_id
            worlds.append(world)
        await worlds[0].clinic()
        yield worlds


def _ops(world):
    expires_at = world.keys.clock() + timedelta(minutes=1)
    return Caller(Role.OPS, "support", world.clinic_id, expires_at)


def _in_each(copies, person):
    """The same person, signed in once, who calls one process or another."""
    return [replace(person, world=world) for world in copies]


async def _talk(senders, thread, stop):
    """Send through every process in turn until told to stop; the texts sent."""
    sent: list[str] = []
    while not stop.is_set():
        sent.append(f"text {len(sent)}")
        await senders[len(sent) % len(senders)].send(thread, sent[-1])
    return sent


async def _read(readers, thread, stop):
    """Every read holds at least what the one before it held, and opens all of it."""
    known, reads = 0, 0
    while not stop.is_set():
        found = await readers[reads % len(readers)].messages(thread)
        assert all(message.body for message in found)
        assert len(found) >= known
        known, reads = len(found), reads + 1
    return reads


async def test_keys_and_master_key_change_under_sends_and_reads(copies, master_keys):
    world, stop = copies[0], asyncio.Event()
    doctor, patient = await world.staff(), await world.profile()
    thread = (await doctor.start(patient)).conversation_id
    await doctor.send(thread, "first")
    talking = asyncio.create_task(_talk(_in_each(copies, doctor), thread, stop))
    reading = [
        asyncio.create_task(_read(_in_each(copies, person), thread, stop))
        for person in (doctor, patient)
    ]

    for number in range(6):
        rotating = copies[number % len(copies)]
        assert await rotating.data_keys.rotate(_ops(world), uuid4()) == number + 2
        await copies[-1].data_keys.rewrap(world.worker)
        await asyncio.sleep(0.05)  # longer than a process keeps to the version that it knows
    stop.set()
    sent, reads = await talking, await asyncio.gather(*reading)

    assert min(reads) > 0
    for reader in _in_each(copies, patient):
        assert [message.body for message in await reader.messages(thread)] == [
            "first",
            *sent,
        ]
    row = (await _look(world, _USED)).one()
    assert row.used > 1
    assert row.newest == 7
    await copies[-1].data_keys.rewrap(world.worker)
    alone = DataKeys(FileKeyProvider(master_keys[1]), world.database, system_clock)
    await alone.check(world.worker)  # the old one is needed no more


async def _look(world, query):
    parameters = {"clinic_id": world.clinic_id}
    return await world.database.transact(
        lambda connection, _: connection.execute(query, parameters), clinics=[world.clinic_id]
    )


async def test_a_master_key_that_is_still_needed_is_missed_at_the_start(copies, master_keys):
    world, new = copies[0], copies[-1]
    await world.data_keys.current(world.clinic_id)
    await world.data_keys.rotate(_ops(world), uuid4())
    elsewhere = uuid4()
    await new.data_keys.current(elsewhere)
    alone = DataKeys(FileKeyProvider(master_keys[1]), world.database, system_clock)

    with pytest.raises(WrongMasterKey):
        await alone.check(world.worker)
    assert await new.data_keys.rewrap(world.worker) == 2
    assert await new.data_keys.rewrap(world.worker) == 0

    await alone.check(world.worker)


@pytest.mark.parametrize(
    "columns",
    ["ciphertext = other.ciphertext", "sequence = m.sequence + 7", "sender_side = 'profile'"],
)
@pytest.mark.parametrize("same_thread", [True, False])
async def test_a_text_in_another_s_place_is_refused_and_not_told(world, columns, same_thread):
    doctor = await world.staff()
    patients = [await world.profile() for _ in range(2)]
    threads = [(await doctor.start(patient)).conversation_id for patient in patients]
    there = threads[0] if same_thread else threads[1]
    await doctor.send(threads[0], "minetext")
    await doctor.send(there, "theirtext")
    await _look_at(world, _SWAP.format(columns=columns), threads=threads)

    error = await failure(doctor.messages(threads[0]))

    assert (error.code(), reason(error)) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "text" not in f"{error.details()} {error.trailing_metadata()}"


async def _look_at(world, query, *, threads):
    await world.database.transact(
        lambda connection, _: connection.execute(text(query), {"threads": threads}),
        clinics=[world.clinic_id],
    )
