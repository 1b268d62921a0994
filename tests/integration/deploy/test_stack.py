import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress

import nats
import psycopg
import pytest

from deploy.local import postgres
from deploy.local.ports import HOST, PortTaken, free
from deploy.local.process import descendants
from deploy.local.stack import Stack
from deploy.local.state import AlreadyRunning
from tests.support.eventually import eventually
from tests.support.processes import alive


@pytest.fixture(scope="module")
async def stack():
    async with Stack.throwaway(services=()) as stack:
        yield stack


@pytest.fixture
def ports():
    ports = free()
    yield ports
    ports.release()


def _numbers(stack):
    with psycopg.connect(stack.superuser_url("postgres")) as connection:
        return connection.execute("select id from numbers order by id").fetchall()


async def test_what_was_committed_survives_the_killing_of_postgres(stack):
    with psycopg.connect(stack.superuser_url("postgres")) as connection:
        connection.execute("create table numbers as select 7 as id")

    await stack.kill("postgres")
    await stack.start("postgres")

    assert _numbers(stack) == [(7,)]


async def test_postgres_runs_with_the_settings_that_durability_rests_on(stack):
    with psycopg.connect(stack.superuser_url("postgres")) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert connection.execute(f"show {setting}").fetchone() == ("on",)


async def test_postgres_asks_everybody_for_a_password(stack):
    url = stack.superuser_url("postgres").replace(stack.plan.state.secrets().postgres, "wrong")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


async def test_what_jetstream_acknowledged_survives_a_restart_of_nats(stack):
    client = await nats.connect(stack.nats_url(), reconnect_time_wait=0.05)
    await client.jetstream().add_stream(name="KEPT", subjects=["kept.>"])
    await client.jetstream().publish("kept.this", b"")

    await stack.restart("nats")

    kept = await eventually(lambda: client.jetstream().stream_info("KEPT"))
    assert kept.state.messages == 1
    await client.close()


async def test_a_part_that_dies_comes_back_by_itself(stack):
    dead = stack.pid("mailbox")

    os.kill(dead, signal.SIGKILL)

    async def another():
        try:
            return stack.pid("mailbox") != dead
        except ProcessLookupError:
            return False

    await eventually(another)
    await stack.ready("mailbox")


async def test_a_second_stack_finds_the_data_of_the_first(tmp_path, ports):
    async with Stack(tmp_path / "state", ports=ports, services=()) as first:
        with psycopg.connect(first.superuser_url("postgres")) as connection:
            connection.execute("create table numbers as select 7 as id")

    async with Stack(tmp_path / "state", ports=ports, services=()) as second:
        assert _numbers(second) == [(7,)]
    postgres.remove(tmp_path / "state")


async def test_a_directory_holds_one_stack_at_a_time(stack, ports):
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        async with Stack(stack.plan.state.directory, ports=ports, services=()):
            pass


async def test_a_stack_whose_port_is_taken_starts_nothing_and_says_so(tmp_path, ports):
    with socket.socket() as holder:
        holder.bind((HOST, ports["nats"]))
        holder.listen()

        with pytest.raises(PortTaken, match=f"Port {ports['nats']}, wanted by nats"):
            async with Stack(tmp_path / "state", ports=ports, services=()):
                pass

    assert not (tmp_path / "state" / "postgres").exists()


async def test_nothing_outlives_a_stack_that_is_left(tmp_path, ports):
    async with Stack(tmp_path / "state", ports=ports, services=()) as stack:
        parts = [stack.pid(name) for name in ("postgres", "nats", "mailbox")]
        everything = [*parts, *descendants(parts[0])]

    assert not any(alive(pid) for pid in everything)
    postgres.remove(tmp_path / "state")


def _accounts():
    """Ourselves and, where we are root and it can reach our Python, an ordinary user."""
    accounts: list[str | None] = [None]
    with suppress(PermissionError):
        if os.geteuid() == 0:
            subprocess.run((sys.executable, "-V"), user="nobody", cwd="/", check=True)
            accounts.append("nobody")
    return accounts


@pytest.fixture
def open_directory():
    """Unlike tmp_path, one that every account may enter and write to."""
    with tempfile.TemporaryDirectory(prefix="clinic-test-") as directory:
        os.chmod(directory, 0o777)
        yield directory


@pytest.fixture(params=_accounts(), ids=lambda account: account or "ourselves")
def holder(request, open_directory):
    """A process that holds a stack; it ends with its standard input."""
    account = request.param
    process = subprocess.Popen(
        (sys.executable, "-m", "tests.support.hold_stack"),
        user=account,
        group=pwd.getpwnam(account).pw_gid if account else None,
        extra_groups=[] if account else None,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        env={**os.environ, "HOME": "/", "TMPDIR": open_directory},
    )
    assert process.stdin is not None
    with process, process.stdin:
        yield process


async def test_a_stack_runs_and_ends_as_whoever_starts_it(holder):
    parts = json.loads(holder.stdout.readline())
    assert all(alive(pid) for pid in parts.values())

    holder.stdin.close()

    assert holder.wait(20) == 0
    assert not any(alive(pid) for pid in parts.values())


async def test_killing_the_process_that_holds_a_stack_leaves_no_part_behind(holder):
    parts = json.loads(holder.stdout.readline()).values()
    everything = [*parts, *(child for pid in parts for child in descendants(pid))]

    holder.kill()

    async def gone():
        return not any(alive(pid) for pid in everything)

    await eventually(gone)


@pytest.mark.parametrize("hidden", ["wheel", "state"])
def test_a_directory_that_nobody_may_enter_stays_closed(tmp_path, monkeypatch, hidden):
    """What the server's account cannot reach is copied or put elsewhere; no mode is changed."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    state = closed / "state"
    state.mkdir()
    if hidden == "wheel":
        package = postgres._package()
        for name in (package.name, f"{package.name}.libs"):
            subprocess.run(["cp", "-r", package.with_name(name), closed / name], check=True)
        monkeypatch.setattr(postgres, "_package", lambda: closed / package.name)

    cluster = postgres.Cluster(state, 1, "password")
    postgres.prepare(cluster)

    assert (cluster.data / "PG_VERSION").exists()
    assert closed.stat().st_mode & 0o777 == 0o700
    home = cluster.home
    postgres.remove(state)
    assert not home.exists()
