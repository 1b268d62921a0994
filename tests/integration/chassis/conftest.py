"""The tables that every service has, in a database that no other test uses."""

from uuid import uuid4

import nats
import psycopg
import pytest

from services.chassis import bus, outbox
from services.chassis.backbone import Backbone
from services.chassis.clock import system_clock
from services.chassis.database import Database
from services.chassis.outbox import Sequencer
from tests.support.effects import Effects
from tests.support.events import facts_of, write
from tests.support.grpc_world import Keys
from tests.support.nats import nats_server
from tests.support.operations_world import (
    SERVICE,
    Operations,
    serving_operations,
    settings,
    write_signing_key,
)

_TABLES = (
    "outbox, outbox_marks, inbox, dead_letters, sweeps, sweep_tries, requests, audit, data_keys"
)


@pytest.fixture(scope="session")
def migrated(postgres):
    """A database as the migrations leave it; its tests use what belongs to the chassis."""
    return postgres.clone("conversations", label="chassis")


@pytest.fixture
def databases(migrated):
    with psycopg.connect(migrated.superuser) as connection:
        for table in _TABLES.split(", "):
            connection.execute(f"delete from {table}")
        connection.execute("update outbox_head set last_position = 0, published_position = 0")
        connection.execute("update outbox_head set relay_owner = null, relay_until = '-infinity'")
    return migrated


@pytest.fixture
async def app(databases):
    database = Database(databases.app, size=8, name="chassis test")
    yield database
    await database.close()


@pytest.fixture
async def worker(databases):
    database = Database(databases.worker, size=8, name="chassis test worker")
    yield database
    await database.close()


@pytest.fixture
def look(databases):
    """Everything there is, as the superuser sees it: `look(query, *parameters)`."""

    def look(query, *parameters):
        with psycopg.connect(databases.superuser) as connection:
            return connection.execute(query, parameters).fetchall()

    return look


@pytest.fixture(scope="session")
async def own_nats(tmp_path_factory):
    """A NATS of these tests alone, because they kill it and take its store away."""
    async with nats_server(tmp_path_factory.mktemp("chassis-nats")) as server:
        yield server


@pytest.fixture
async def broker(own_nats, monkeypatch):
    """It runs, and whoever loses it comes back soon."""
    monkeypatch.setattr(bus, "RECONNECT_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(bus, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(bus, "PUBLISH_SECONDS", 0.5)
    await own_nats.start()
    return own_nats


@pytest.fixture
async def operator(broker):
    """A client that may do everything, on a NATS without streams."""
    client = await nats.connect(broker.url(), reconnect_time_wait=0.05)
    jetstream = client.jetstream(timeout=0.5)
    for stream in await jetstream.streams_info():
        await jetstream.delete_stream(stream.config.name or "")
    yield jetstream
    await client.close()


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path, system_clock)


@pytest.fixture
def signing_key(keys, tmp_path):
    """The private key of another service."""
    return write_signing_key(keys, tmp_path, "service:export")


@pytest.fixture
async def backbone(databases, broker, keys, signing_key):
    backbone = Backbone(SERVICE, settings(databases, broker, keys, signing_key))
    yield backbone
    for close in backbone.close:
        await close()


@pytest.fixture
async def served(backbone, keys):
    async with serving_operations(backbone, keys) as world:
        yield world


@pytest.fixture
def ops(served, keys):
    return Operations(served.channel, keys)


@pytest.fixture
async def events(app, worker):
    """Five events, the first of them at position 1."""
    await write(app, *facts_of(uuid4(), 5, clinic_id=uuid4()))
    await Sequencer(worker, positioned=lambda: None).number()
    return list(await worker.connect(lambda c: outbox.read(c, SERVICE, after=0, most=10)))


@pytest.fixture
def effects(app):
    return Effects(app)
