"""A process starts, becomes ready, keeps its tasks going, drains and ends."""

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.clock import system_clock
from services.chassis.http import HttpServer, Request, as_json
from services.chassis.lifecycle import Process
from services.chassis.telemetry import TASK_RESTARTS
from tests.support.eventually import eventually
from tests.support.grpc_world import Keys, bearer, echo_pb2, echo_pb2_grpc, failure
from tests.support.tiny_service import compose, environment

SHORT = timedelta(milliseconds=10)
REQUEST = echo_pb2.EchoRequest(text="x")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path, system_clock)


@asynccontextmanager
async def running(tmp_path, **parts):
    """A process of this service inside this one, started and not yet ready."""
    process = Process(compose(environment(tmp_path), **parts))
    running = asyncio.create_task(process.run())
    await eventually(lambda: _listening(process))
    try:
        yield process
    finally:
        process.stop_soon()
        assert await running == 0


async def _listening(process: Process) -> bool:
    try:
        return (await get(process, "/livez"))[0] == 200
    except (AssertionError, OSError):
        return False


async def get(process: Process, path: str) -> tuple[int, str]:
    assert process.http is not None
    return await ask(process.http.port, path)


async def ask(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


async def health(process: Process) -> tuple[int, int]:
    """Of the public and of the internal port."""
    assert process.public is not None
    assert process.internal is not None
    statuses = []
    for server in (process.public, process.internal):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            statuses.append((await stub.Check(health_pb2.HealthCheckRequest())).status)
    return statuses[0], statuses[1]


class Part:
    """Something that a service needs, and that is not there yet."""

    def __init__(self) -> None:
        self.missing: str | None = "migrations are behind"

    async def __call__(self) -> str | None:
        return self.missing


async def test_a_process_serves_once_all_it_needs_is_there(keys, tmp_path):
    part = Part()
    order: list[str] = []

    async def broken():
        if not order:
            raise ConnectionError("CANARY")

    async def task():
        order.append("task")
        await asyncio.Event().wait()

    parts = {"ready": {"database": part, "bus": broken}, "tasks": {"task": task}}
    async with running(tmp_path, **parts) as process:
        assert await health(process) == (NOT_SERVING, NOT_SERVING)
        assert order == []
        status, body = await get(process, "/readyz")
        assert status == 503
        assert json.loads(body)["missing"] == {
            "database": "migrations are behind",
            "bus": "ConnectionError",
        }

        order.append("reached")
        part.missing = None
        await asyncio.wait_for(process.ready(), 5)

        assert await health(process) == (SERVING, SERVING)
        assert order == ["reached", "task"]
        assert await get(process, "/readyz") == (200, '{"ready": true, "missing": {}}')


async def test_a_check_that_hangs_is_not_waited_for(keys, tmp_path, monkeypatch):
    monkeypatch.setattr("services.chassis.lifecycle._CHECK_TIMEOUT", SHORT)

    async def stuck():
        await asyncio.Event().wait()

    async with running(tmp_path, ready={"bus": stuck}) as process:
        status, body = await get(process, "/readyz")

    assert (status, json.loads(body)["missing"]) == (503, {"bus": "TimeoutError"})


async def test_what_is_lost_later_is_told_and_does_not_take_the_process_down(keys, tmp_path):
    part = Part()
    part.missing = None
    async with running(tmp_path, ready={"database": part}) as process:
        await asyncio.wait_for(process.ready(), 5)

        part.missing = "gone"

        assert (await get(process, "/readyz"))[0] == 503
        assert await health(process) == (SERVING, SERVING)


async def test_metrics_are_served_and_a_door_of_the_service_shows_nothing_else(keys, tmp_path):
    async def own(request: Request):
        return as_json(200, "own")

    door = HttpServer("127.0.0.1:0", {("GET", "/own"): own})
    async with running(tmp_path, doors=[door]) as process:
        assert "clinic_rpc_handled_total" in (await get(process, "/metrics"))[1]
        assert (await get(process, "/own"))[0] == 404
        port = door.port
        assert await ask(port, "/own") == (200, '"own"')
        assert (await ask(port, "/metrics"))[0] == 404

    with pytest.raises(OSError):
        await ask(port, "/own")


async def test_a_task_that_fails_or_ends_is_started_again(keys, tmp_path, monkeypatch):
    monkeypatch.setattr("services.chassis.lifecycle._BACK_OFF_FIRST", SHORT)
    runs: list[str] = []

    async def task():
        runs.append("run")
        if len(runs) == 1:
            raise ValueError("CANARY")
        if len(runs) == 3:
            await asyncio.Event().wait()

    before = TASK_RESTARTS.labels("flaky")._value.get()
    async with running(tmp_path, tasks={"flaky": task}):
        await eventually(lambda: _came_to(runs, 3))

    assert TASK_RESTARTS.labels("flaky")._value.get() == before + 2


async def _came_to(items: list[str], count: int) -> bool:
    return len(items) == count


async def test_the_end_comes_in_order(keys, tmp_path):
    order: list[str] = []

    async def task():
        try:
            await asyncio.Event().wait()
        finally:
            order.append("task ended")

    def closing(name: str):
        async def close():
            order.append(name)
            if name == "bus":
                raise ValueError("CANARY")

        return close

    parts = {"tasks": {"task": task}, "close": [closing("bus"), closing("database")]}
    async with running(tmp_path, **parts) as process:
        await asyncio.wait_for(process.ready(), 5)
        await asyncio.sleep(0)

    assert order == ["task ended", "bus", "database"]


async def test_streams_are_told_that_the_process_drains_and_may_end_themselves(keys, tmp_path):
    draining = asyncio.Event()

    async def until_draining(request, context):
        await draining.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "come back")

    parts = {"behave": until_draining, "draining": draining}
    async with running(tmp_path, **parts) as process:
        await asyncio.wait_for(process.ready(), 5)
        assert process.public is not None
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{process.public.port}")
        stub = echo_pb2_grpc.EchoServiceStub(channel)
        stream = stub.Down(REQUEST, metadata=bearer(keys.person()))
        ended = asyncio.create_task(failure(stream.read()))
        await asyncio.sleep(0.05)

    assert (await ended).details() == "come back"
    await channel.close()


class Child:
    """The tiny service as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen: list[str] = []

    @classmethod
    async def start(cls, tmp_path, **changes: str) -> "Child":
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.support.tiny_service"),
                env=os.environ | environment(tmp_path, **changes),
                stderr=asyncio.subprocess.PIPE,
            )
        )

    async def until(self, word: str) -> None:
        assert self.process.stderr is not None
        while not (self.seen and word in self.seen[-1]):
            line = await asyncio.wait_for(self.process.stderr.readline(), 10)
            assert line, f"ended before {word}"
            self.seen.append(line.decode())

    async def end(self) -> tuple[int, str]:
        """Exit code, and what it said on the standard error."""
        _, said = await asyncio.wait_for(self.process.communicate(), 15)
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def test_sigterm_lets_a_call_finish_and_ends_well(keys, tmp_path):
    port = free_port()
    child = await Child.start(tmp_path, TINY_LISTEN=f"127.0.0.1:{port}")
    await child.until("process_ready")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = echo_pb2_grpc.EchoServiceStub(channel)
        call = asyncio.create_task(_answer(stub, keys))
        await child.until("entered")

        child.process.send_signal(signal.SIGTERM)

        assert await call == "x"
    assert (await child.end())[0] == 0


async def _answer(stub, keys) -> str:
    answer = await stub.Unary(REQUEST, metadata=bearer(keys.person()), timeout=5)
    return str(answer.text)


async def test_a_second_signal_ends_it_at_once(keys, tmp_path):
    child = await Child.start(tmp_path, TINY_STUBBORN="1")
    await child.until("process_ready")
    child.process.send_signal(signal.SIGINT)
    await child.until("process_draining")
    began = asyncio.get_running_loop().time()

    child.process.send_signal(signal.SIGTERM)
    code, _ = await child.end()

    assert code == -signal.SIGTERM
    assert asyncio.get_running_loop().time() - began < 3


async def test_settings_that_are_wrong_end_with_64_and_what_to_set(keys, tmp_path):
    child = await Child.start(tmp_path, TINY_NATS_URL="", TINY_POOL_SIZE="none")

    code, said = await child.end()

    assert code == 64
    assert "TINY_NATS_URL is missing: where NATS is (secret)" in said
    assert "TINY_POOL_SIZE is malformed" in said
    assert "Traceback" not in said


async def test_a_key_file_that_is_not_there_ends_with_1_and_a_sentence(keys, tmp_path):
    keys.callers_jwks.unlink()
    child = await Child.start(tmp_path)

    code, said = await child.end()

    assert code == 1
    assert said.startswith("Not started: ")
    assert "callers.jwks cannot be read" in said
    assert "Traceback" not in said


async def test_a_port_that_is_taken_ends_with_1_and_a_sentence(keys, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        child = await Child.start(tmp_path, TINY_LISTEN=address)
        code, said = await child.end()

    assert code == 1
    assert f"{address} cannot be listened on" in said


async def test_a_crash_ends_with_1_and_shows_no_value(keys, tmp_path):
    child = await Child.start(tmp_path, TINY_BROKEN="CANARY")
    await child.until("process_crashed")

    code, said = await child.end()

    assert code == 1
    assert "CANARY" not in said + "".join(child.seen)
