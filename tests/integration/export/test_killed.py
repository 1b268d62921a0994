"""The real process, killed in the middle of an export and started again (I28, P14)."""

import asyncio
import base64
import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    add_ConversationsInternalServiceServicer_to_server,
)
from clinic.directory.v1.directory_internal_service_pb2_grpc import (
    add_DirectoryInternalServiceServicer_to_server,
)
from services.chassis.server import registration
from services.export_format.layout import MESSAGES
from services.export_format.verify import verify
from tests.support.conversations_world import SEALING_KEY
from tests.support.eventually import eventually
from tests.support.export_world import CUTOFF
from tests.support.grpc_world import AUDIENCE, ISSUER, REPOSITORY, serving

# More than two checkpoints of a process as it is set up for production.
MESSAGES_OF_THREAD = 900
THREADS = 3
HELD_AT = 2_100


@asynccontextmanager
async def peers(world):
    """The directory and conversations, for a process of its own."""
    registrations = [
        registration(add_DirectoryInternalServiceServicer_to_server, world.details),
        registration(add_ConversationsInternalServiceServicer_to_server, world.threads),
    ]
    async with serving(world.keys, registrations) as edge:
        yield f"127.0.0.1:{edge.built.port}"


def environment(world, nats_server, target):
    keys = world.keys.issuer_jwks.parent
    settings = {
        "DATABASE_URL": world.databases.app,
        "WORKER_DATABASE_URL": world.databases.worker,
        "NATS_URL": nats_server.url("export"),
        **dict.fromkeys(("LISTEN", "INTERNAL_LISTEN", "HTTP_LISTEN"), "127.0.0.1:0"),
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": AUDIENCE,
        "ISSUER_JWKS": str(world.keys.issuer_jwks),
        "CALLERS_JWKS": str(world.keys.callers_jwks),
        "SIGNING_KEY": str(keys / "own.jwk"),
        "SEALING_KEY": base64.b64encode(SEALING_KEY).decode(),
        "DIRECTORY_TARGET": target,
        "CONVERSATIONS_TARGET": target,
        "DIRECTORY": str(world.folder),
        "CUTOFF": str(CUTOFF.total_seconds()),
    }
    program = {"PATH": os.environ["PATH"]}
    return program | {f"EXPORT_{name}": value for name, value in settings.items()}


@pytest.fixture
async def start(world, nats_server, tmp_path):
    """Start the service as a process; what still runs in the end is killed."""
    async with AsyncExitStack() as held:
        told = environment(world, nats_server, await held.enter_async_context(peers(world)))
        log = held.enter_context((tmp_path / "export.log").open("ab"))

        async def started():
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.export", "serve"),
                cwd=REPOSITORY,
                env=told,
                stdout=log,
                stderr=log,
            )
            held.push_async_callback(ended, process)
            return process

        yield started


async def ended(process):
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_a_killed_export_is_gone_on_with_and_is_the_same_byte_for_byte(world, start):
    await world.owner()
    staff = await world.staff()
    for _ in range(THREADS):
        thread = world.thread(staff)
        for number in range(MESSAGES_OF_THREAD):
            thread.say(f"message {number}")
    export = await world.create(staff)
    world.threads.holds_after = HELD_AT
    process = await start()
    await asyncio.wait_for(world.threads.held.wait(), 30)

    async def saved():
        return (await world.get(export)).message_count >= 1_000

    await eventually(saved)
    await ended(process)
    half = world.path(export).exists()
    drafts = [path.name for path in world.folder.glob(f"{export.export_id}.*")]
    world.threads.holds_after = None
    world.due()
    await start()

    async def ready():
        return await world.state(export) == "READY"

    await eventually(ready, within=30)
    resumed = world.files(export)
    world.begin_again(export)
    await eventually(ready, within=30)

    assert (half, len(drafts)) == (False, 1)
    assert world.threads.asked[1].resume_sequence > 0
    assert world.threads.asked[2].resume_conversation_id == ""
    assert len(world.lines(export, MESSAGES)) == THREADS * MESSAGES_OF_THREAD
    assert world.files(export) == resumed
    assert verify(world.path(export), world.public_keys) == []
    assert list(world.folder.glob(f"{export.export_id}.*")) == []
