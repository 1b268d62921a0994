import nats
import pytest
from nats.js.errors import NotFoundError

from tests.support.nats import nats_server as running_nats_server


@pytest.fixture(scope="module")
async def nats_server(tmp_path_factory):
    """One of these tests alone: nobody else makes the stream that they have taken away."""
    async with running_nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


async def _connect(server, user="operator"):
    async def ignore(error):
        """A denied subject is told here and, to the caller, as a timeout."""

    return await nats.connect(
        server.url(user),
        inbox_prefix=f"_INBOX_{user}".encode(),
        error_cb=ignore,
        reconnect_time_wait=0.05,
    )


@pytest.fixture
async def stream(nats_server):
    client = await _connect(nats_server)
    await client.jetstream().add_stream(name="DIRECTORY", subjects=["directory.>"])
    yield client.jetstream()
    await client.jetstream().delete_stream("DIRECTORY")
    await client.close()


async def test_a_killed_server_keeps_what_it_acknowledged(nats_server, stream):
    await stream.publish("directory.state.profile_state.clinic", b"event")

    await nats_server.kill()
    await nats_server.start()

    client = await _connect(nats_server)
    assert (await client.jetstream().stream_info("DIRECTORY")).state.messages == 1
    await client.close()


async def test_a_deleted_store_is_gone(nats_server):
    client = await _connect(nats_server)
    await client.jetstream().add_stream(name="GONE", subjects=["gone.>"])
    await client.close()

    await nats_server.delete_store()
    await nats_server.start()

    client = await _connect(nats_server)
    with pytest.raises(NotFoundError):
        await client.jetstream().stream_info("GONE")
    await client.close()


async def test_a_service_publishes_its_own_events_and_nobody_elses(nats_server, stream):
    client = await _connect(nats_server, "directory")
    other = await _connect(nats_server, "conversations")

    await client.jetstream().publish("directory.state.profile_state.clinic", b"event")
    with pytest.raises(TimeoutError):
        await other.jetstream(timeout=0.3).publish("directory.state.profile_state.clinic", b"")

    assert (await stream.stream_info("DIRECTORY")).state.messages == 1
    await client.close()
    await other.close()


async def test_a_service_may_not_delete_a_stream(nats_server, stream):
    client = await _connect(nats_server, "directory")

    with pytest.raises(TimeoutError):
        await client.jetstream(timeout=0.3).delete_stream("DIRECTORY")

    assert await stream.stream_info("DIRECTORY")
    await client.close()
