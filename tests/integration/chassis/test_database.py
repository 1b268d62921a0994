"""Transactions: no more backends than permits, none left behind, races repeated (P17)."""

import asyncio
import random
import signal
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from deploy.local import postgres
from deploy.local.ports import claim_port
from deploy.local.process import start
from services.chassis.database import Database
from services.chassis.errors import Aborted, ResourceExhausted, Unavailable
from tests.support.eventually import eventually

_SLEEP = text("select pg_sleep(:seconds)")
_RAISE = "do $$ begin raise exception 'raised' using errcode = '{}'; end $$"
_CLAIM = text("insert into inbox (clinic_id, consumer, event_id) values (:clinic, :half, :id)")
_SESSIONS = """
    select state, (select count(*) from pg_locks where pg_locks.pid = activity.pid) as locks
    from pg_stat_activity as activity where application_name = %s
"""


@asynccontextmanager
async def _database(databases, *, size, name="storm"):
    database = Database(databases.app, size=size, name=name)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _most_sessions(databases, name):
    """Watches how many backends there are at once; the list's last number is the most."""
    seen = [0]

    async def watch():
        async with await psycopg.AsyncConnection.connect(databases.superuser) as connection:
            while True:
                rows = await (await connection.execute(_SESSIONS, [name])).fetchall()
                seen.append(max(seen[-1], len(rows)))
                await connection.rollback()

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def _sessions(databases, name):
    with psycopg.connect(databases.superuser) as connection:
        return connection.execute(_SESSIONS, [name]).fetchall()


def _left(databases, name):
    """The backends that have a transaction or a lock."""
    return [session for session in _sessions(databases, name) if session != ("idle", 0)]


async def _all_permits(database, size):
    """Returns once all permits were held here at once: whatever was under way has ended."""
    together = asyncio.Barrier(size)
    await asyncio.gather(*(database.connect(lambda _: together.wait()) for _ in range(size)))


async def _hang_up(calls, chance, within):
    """Start all of these at once and cancel each after a random time."""
    tasks = [asyncio.create_task(call) for call in calls]
    loop = asyncio.get_running_loop()
    for task in tasks:
        loop.call_later(chance.uniform(0, within), task.cancel)
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", [1, 2])
async def test_clients_that_hang_up_leave_no_connection_lock_or_transaction(databases, seed):
    chance, clinic, name = random.Random(seed), uuid4(), f"storm {uuid4()}"

    async def write_both_halves(connection, _):
        id = uuid4()
        for half in ("first", "second"):
            await connection.execute(_CLAIM, {"clinic": clinic, "half": half, "id": id})
            await connection.execute(_SLEEP, {"seconds": 0.002})

    async with _database(databases, size=8, name=name) as database:
        async with _most_sessions(databases, name) as seen:
            calls = [database.transact(write_both_halves, clinics=[clinic]) for _ in range(200)]
            await _hang_up(calls, chance, within=0.2)
            await _all_permits(database, 8)
        assert _left(databases, name) == []
        assert seen[-1] <= 8

    with psycopg.connect(databases.superuser) as connection:
        halves = connection.execute("select count(*) from inbox group by event_id").fetchall()
    assert set(halves) == {(2,)}


@pytest.mark.parametrize("seconds", [0.01, 0.02, 0.05])
async def test_deadlines_that_pass_leave_no_connection_lock_or_transaction(databases, seconds):
    name = f"late {uuid4()}"

    async def dawdle(connection, _):
        await connection.execute(text("select pg_advisory_xact_lock_shared(7)"))
        await connection.execute(_SLEEP, {"seconds": 0.3})

    async with _database(databases, size=4, name=name) as database:
        calls = [database.transact(dawdle, deadline=seconds) for _ in range(20)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await _all_permits(database, 4)

        assert {type(outcome) for outcome in outcomes} <= {Unavailable, ResourceExhausted}
        await eventually(lambda: _as_many(databases, name, 4))
        assert _left(databases, name) == []


async def test_a_client_that_hangs_up_does_not_undo_a_commit_under_way(app, databases):
    writing, go_on, clinic = asyncio.Event(), asyncio.Event(), uuid4()

    async def write(connection, _):
        await connection.execute(_CLAIM, {"clinic": clinic, "half": "whole", "id": uuid4()})
        writing.set()
        await go_on.wait()

    call = asyncio.create_task(app.transact(write, clinics=[clinic]))
    await writing.wait()
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    go_on.set()

    async def committed():
        with psycopg.connect(databases.superuser) as connection:
            return connection.execute("select from inbox").fetchall()

    assert await eventually(committed)


async def test_no_more_transactions_at_once_than_permits(databases):
    at_once, most = 0, 0

    async def count(connection, _):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await connection.execute(_SLEEP, {"seconds": 0.01})
        at_once -= 1

    async with _database(databases, size=2) as database:
        await asyncio.gather(*(database.transact(count) for _ in range(10)))

    assert most == 2


async def test_who_finds_no_permit_in_time_is_turned_away(databases):
    held, release = asyncio.Event(), asyncio.Event()

    async def hold(connection):
        held.set()
        await release.wait()

    async with _database(databases, size=1) as database:
        holder = asyncio.create_task(database.connect(hold))
        await held.wait()
        with pytest.raises(ResourceExhausted):
            await database.connect(_through_sqlalchemy, deadline=0.05)
        release.set()
        await holder


@pytest.mark.parametrize("state", ["40001", "40P01", "23505"])
async def test_a_lost_race_is_run_again(app, state):
    tries = 0

    async def lose_once(connection, _):
        nonlocal tries
        tries += 1
        if tries == 1:
            await connection.execute(text(_RAISE.format(state)))
        return "won"

    assert await app.transact(lose_once) == "won"
    assert tries == 2


@pytest.mark.parametrize("state", ["40001", "40P01", "23505"])
async def test_a_race_that_is_always_lost_is_aborted(app, state):
    tries = 0

    async def lose(connection, _):
        nonlocal tries
        tries += 1
        await connection.execute(text(_RAISE.format(state)))

    with pytest.raises(Aborted):
        await app.transact(lose)
    assert tries == 4


async def test_a_unique_race_is_seen_decided_by_the_second_try(app):
    clinic, id = uuid4(), uuid4()
    both_have_looked = asyncio.Barrier(2)
    parameters = {"clinic": clinic, "half": "once", "id": id}

    async def insert_where_absent(connection, _):
        found = await connection.execute(text("select from inbox where event_id = :id"), parameters)
        if found.first() is not None:
            return "second"
        await both_have_looked.wait()
        await connection.execute(_CLAIM, parameters)
        return "first"

    calls = (app.transact(insert_where_absent, clinics=[clinic]) for _ in range(2))
    assert sorted(await asyncio.gather(*calls)) == ["first", "second"]


@pytest.mark.parametrize("state", ["55P03", "57014"])
async def test_a_busy_database_is_unavailable(app, state):
    with pytest.raises(Unavailable):
        await app.connect(lambda connection: connection.execute(text(_RAISE.format(state))))


async def test_a_wrong_query_is_not_repeated_and_stays_what_it_is(app):
    tries = 0

    async def divide(connection, _):
        nonlocal tries
        tries += 1
        await connection.execute(text("select 1 / 0"))

    with pytest.raises(DBAPIError):
        await app.transact(divide)
    assert tries == 1


async def test_work_that_raises_writes_nothing(app, databases):
    clinic = uuid4()

    async def write_and_refuse(connection, _):
        await connection.execute(_CLAIM, {"clinic": clinic, "half": "whole", "id": uuid4()})
        raise Aborted("refused")

    with pytest.raises(Aborted):
        await app.transact(write_and_refuse, clinics=[clinic])

    with psycopg.connect(databases.superuser) as connection:
        assert connection.execute("select from inbox").fetchall() == []


async def _through_sqlalchemy(connection):
    await connection.execute(text("select 1"))


async def _through_the_driver(connection):
    driver = (await connection.get_raw_connection()).driver_connection
    async with driver.pipeline():
        await driver.execute("select 1")


@pytest.mark.parametrize("work", [_through_sqlalchemy, _through_the_driver])
async def test_connections_cut_by_the_server_are_replaced(databases, work):
    name = f"cut {uuid4()}"
    async with _database(databases, size=4, name=name) as database:
        hold = [database.connect(lambda c: c.execute(_SLEEP, {"seconds": 0.1})) for _ in range(4)]
        await asyncio.gather(*hold)
        with psycopg.connect(databases.superuser) as connection:
            cut = "select pg_terminate_backend(pid) from pg_stat_activity"
            connection.execute(f"{cut} where application_name = %s", [name])
        await eventually(lambda: _as_many(databases, name, 0))

        outcomes = await asyncio.gather(
            *(database.connect(work) for _ in range(8)), return_exceptions=True
        )

        assert {type(outcome) for outcome in outcomes} <= {Unavailable, type(None)}
        for _ in range(4):
            await database.connect(work)


async def _as_many(databases, name, number):
    return len(_sessions(databases, name)) == number


@asynccontextmanager
async def _own_server(directory):
    """A server that a test may kill and stop, and a database of it."""
    directory.chmod(0o711)
    port, claim = claim_port()
    cluster = postgres.Cluster(directory, port, "secret", {"fsync": "off"})
    await asyncio.to_thread(postgres.prepare, cluster)
    database = Database(cluster.url(), size=4, name="own")
    server = _Server(postgres.part(cluster, directory / "postgres.log"))
    with claim:
        await server.start()
        try:
            await eventually(lambda: _answers(database))
            yield server, database
        finally:
            await database.close()
            await server.process.kill()
            postgres.remove(directory)


class _Server:
    def __init__(self, part):
        self.part = part

    async def start(self):
        self.process = await start(self.part)


async def _answers(database):
    try:
        await database.check()
    except Unavailable:
        return False
    return True


async def test_a_database_that_dies_is_unavailable_until_it_is_back(tmp_path):
    async with _own_server(tmp_path) as (server, database):
        await server.process.kill()
        with pytest.raises(Unavailable):
            await database.check()

        await server.start()

        await eventually(lambda: _answers(database))


async def test_a_database_that_is_silent_holds_nobody_beyond_the_deadline(tmp_path):
    async with _own_server(tmp_path) as (server, database):
        loop = asyncio.get_running_loop()
        server.process.signal(signal.SIGSTOP)
        began = loop.time()
        with pytest.raises(Unavailable):
            await database.connect(_through_sqlalchemy, deadline=0.2)
        took = loop.time() - began

        server.process.signal(signal.SIGCONT)

        assert took < 2
        await eventually(lambda: _answers(database))
