import asyncio

import pytest

from deploy.local import parts
from deploy.local.keys import (
    APPLE_KEY,
    APPLE_KEY_ID,
    APPLE_TEAM_ID,
    APPLE_TOPIC,
    make_push_keys,
)
from deploy.local.ports import free
from deploy.local.state import State
from deploy.local.supervisor import Supervisor
from services.chassis.clock import system_clock
from services.notifications.channels.apns import Apns
from services.notifications.channels.failures import DeviceGone
from services.notifications.channels.push_credentials import read_apple_key
from services.notifications.channels.push_transport import Transport
from tests.integration.notifications.test_push_clients import a_push
from tests.support.push_sink import PushesClient

TOKEN = "cd" * 32


class RunningSink:
    def __init__(self, supervisor, state, ports):
        self.client = PushesClient(f"http://{ports.address('pushes')}")
        self._supervisor = supervisor
        self._url = f"http://{ports.address('pushes-http2')}"
        self._key = read_apple_key(
            state.keys / APPLE_KEY, key_id=APPLE_KEY_ID, team_id=APPLE_TEAM_ID, topic=APPLE_TOPIC
        )

    async def send(self, token):
        apns = Apns(self._key, transport=Transport(self._url), clock=system_clock)
        try:
            await apns.send(token, a_push())
        finally:
            await apns.close()

    async def restart(self):
        await self._supervisor.term("pushes")
        await self._supervisor.again("pushes")


@pytest.fixture(scope="module")
async def running(tmp_path_factory):
    state, ports = State(tmp_path_factory.mktemp("pushes")), free()
    state.logs.mkdir()
    state.keys.mkdir()
    make_push_keys(state.keys, sign_in_url=f"http://{ports.address('pushes-http2')}/token")
    supervisor = Supervisor(print)
    await supervisor.start(parts.pushes(state=state, ports=ports, environment={}))
    yield RunningSink(supervisor, state, ports)
    await supervisor.end(["pushes"])
    ports.release()


@pytest.fixture
async def sink(running):
    yield running
    await running.client.heal()
    await running.client.clear()


async def test_pushes_are_told_newest_first(sink):
    await sink.send(TOKEN)
    await sink.send("ef" * 32)

    tokens = [push["token"] for push in await sink.client.pushes()]
    assert tokens == ["ef" * 32, TOKEN]
    assert [push["token"] for push in await sink.client.pushes(to=TOKEN)] == [TOKEN]


async def test_a_restart_keeps_the_pushes(sink):
    await sink.send(TOKEN)

    await sink.restart()

    assert len(await sink.client.pushes(to=TOKEN)) == 1


async def test_a_programmed_fault_holds_until_it_is_cleared(sink):
    await sink.client.fail(TOKEN, status=410, reason="Unregistered")
    with pytest.raises(DeviceGone):
        await sink.send(TOKEN)

    await sink.client.heal()
    await sink.send(TOKEN)

    assert len(await sink.client.pushes(to=TOKEN)) == 1


async def test_who_hangs_goes_on_when_the_faults_are_cleared(sink):
    await sink.client.fail(TOKEN, hang="after_request")
    sending = asyncio.create_task(sink.send(TOKEN))
    while not await sink.client.pushes(to=TOKEN):
        assert not sending.done()

    await sink.client.heal()

    await sending


async def test_the_page_brings_all_that_it_shows(sink):
    page = await sink.client.page("/")

    assert "newest first" in page
    for file in ("/page.css", "/page.js"):
        assert file in page
        assert await sink.client.page(file)
