"""A transaction on a line is one transaction, whatever becomes of it (P1, P17)."""

import asyncio
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from services.chassis.database import note_events, scope
from services.chassis.errors import Aborted, ResourceExhausted, Unavailable

_CLAIM = text("insert into inbox (clinic_id, consumer, event_id) values (:clinic, :half, :id)")
_HALVES = text("select consumer from inbox where clinic_id = :clinic order by consumer")
_SLEEP = text("select pg_sleep(:seconds)")
_VALUES = text("""
select cast(:text as text) as text, cast(:bytes as bytea) as bytes, cast(:ids as uuid[]) as ids,
    cast(:number as bigint) as number, cast(:nothing as text) as nothing
""")
_PID = text("select pg_backend_pid() as pid")
_CLINICS = text("select current_setting('app.clinics', true) as clinics")


def _claim(clinic, half):
    return _CLAIM, {"clinic": clinic, "half": half, "id": uuid4()}


def _halves(clinic):
    return _HALVES, {"clinic": clinic}


async def _stored(database, clinic):
    _, rows = await database.exchange(scope([clinic]), _halves(clinic))
    return [row.consumer for row in rows]


async def test_what_is_asked_is_answered_in_its_order(app):
    clinic = uuid4()

    _, written, read = await app.exchange(scope([clinic]), _claim(clinic, "one"), _halves(clinic))

    assert written == []
    assert [row.consumer for row in read] == ["one"]


@pytest.mark.parametrize(
    "written", ["plain", 'it\'s "quoted" \\ and ; $1 :half', "Ünïcode\n\t✓", ""]
)
async def test_every_value_comes_back_as_it_went(app, written):
    ids, data = [uuid4(), uuid4()], bytes(range(256))
    parameters = {
        "text": written,
        "bytes": data,
        "ids": ids,
        "number": -(2**62),
        "nothing": None,
    }

    [[row]] = await app.exchange((_VALUES, parameters))

    assert (row.text, bytes(row.bytes), row.ids) == (written, data, ids)
    assert (row.number, row.nothing) == (-(2**62), None)


async def test_the_scope_of_one_transaction_is_not_the_next_ones(app):
    clinic = uuid4()
    await app.exchange(scope([clinic]), _claim(clinic, "one"))

    [[left]] = await app.exchange((_CLINICS, {}))
    _, others = await app.exchange(scope([uuid4()]), _halves(clinic))

    assert not left.clinics
    assert others == []


async def test_what_breaks_undoes_all_that_came_before(app):
    clinic = uuid4()
    broken = _CLAIM, {"clinic": uuid4(), "half": "elsewhere", "id": uuid4()}

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await app.exchange(scope([clinic]), _claim(clinic, "one"), broken)

    assert await _stored(app, clinic) == []


async def test_work_that_raises_between_two_exchanges_writes_nothing(app):
    clinic = uuid4()

    async def work(talk):
        await talk.ask(scope([clinic]), _claim(clinic, "one"))
        raise ValueError

    with pytest.raises(ValueError):
        await app.talk(work)

    assert await _stored(app, clinic) == []


async def test_work_that_raises_costs_no_connection(app):
    async def work(talk):
        [[here]] = await talk.ask((_PID, {}))
        seen.append(here.pid)
        raise ValueError

    seen: list[int] = []
    for _ in range(2):
        with pytest.raises(ValueError):
            await app.talk(work)

    assert len(seen) == 2
    assert len(set(seen)) == 1


async def test_what_is_asked_after_a_failure_gets_no_answer_of_what_came_before(app):
    clinic = uuid4()
    broken = _CLAIM, {"clinic": uuid4(), "half": "elsewhere", "id": uuid4()}

    async def work(talk):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await talk.ask(scope([clinic]), broken, _halves(clinic))
        await talk.ask((_PID, {}))

    with pytest.raises(Unavailable):
        await app.talk(work)

    assert await _stored(app, clinic) == []


async def test_what_is_left_open_is_committed_at_the_end_and_told_of(app):
    clinic, told = uuid4(), []
    app.on_events.append(lambda: told.append("told"))

    async def work(talk):
        await talk.ask(scope([clinic]), _claim(clinic, "one"))
        note_events(talk)
        await talk.ask(_claim(clinic, "two"))

    await app.talk(work)

    assert await _stored(app, clinic) == ["one", "two"]
    assert told == ["told"]


async def test_a_statement_sees_what_was_committed_while_the_one_before_it_waited(app, databases):
    clinic = uuid4()
    lock = text("select pg_advisory_xact_lock(42)")
    with psycopg.connect(databases.superuser) as other:
        other.execute("select pg_advisory_xact_lock(42)")
        other.execute(
            "insert into inbox (clinic_id, consumer, event_id) values (%s, 'other', %s)",
            [clinic, uuid4()],
        )
        waiting = asyncio.create_task(app.exchange(scope([clinic]), (lock, {}), _halves(clinic)))
        await asyncio.sleep(0.1)
        other.commit()

    _, _, read = await waiting

    assert [row.consumer for row in read] == ["other"]


async def test_a_race_that_is_always_lost_is_aborted(app):
    clinic = uuid4()
    claim = _claim(clinic, "one")
    await app.exchange(scope([clinic]), claim)

    with pytest.raises(Aborted):
        await app.exchange(scope([clinic]), claim)


async def test_a_client_that_hangs_up_does_not_undo_what_is_under_way(app):
    clinic = uuid4()
    slow = app.exchange(scope([clinic]), (_SLEEP, {"seconds": 0.2}), _claim(clinic, "one"))
    call = asyncio.create_task(slow)
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.sleep(0.4)

    assert await _stored(app, clinic) == ["one"]


async def test_out_of_time_is_unavailable_and_the_line_is_had_again(app):
    with pytest.raises(Unavailable):
        await app.exchange((_SLEEP, {"seconds": 5}), deadline=0.1)

    [[row]] = await app.exchange((_PID, {}))

    assert row.pid


async def test_a_connection_that_the_server_cut_is_replaced(app, databases):
    [[before]] = await app.exchange((_PID, {}))
    with psycopg.connect(databases.superuser) as connection:
        connection.execute("select pg_terminate_backend(%s)", [before.pid])

    with pytest.raises(Unavailable):
        await app.exchange((_PID, {}))
    [[after]] = await app.exchange((_PID, {}))

    assert after.pid != before.pid


async def test_who_waits_for_locks_is_in_nobody_elses_way(app):
    sleeping = [asyncio.create_task(app.talk(_sleep, waits=True)) for _ in range(4)]
    await asyncio.sleep(0.05)

    async with asyncio.timeout(0.5):
        await app.exchange((_PID, {}))
    with pytest.raises(ResourceExhausted):
        await app.talk(_sleep, waits=True, deadline=0.1)

    await asyncio.gather(*sleeping)


async def _sleep(talk):
    await talk.ask((_SLEEP, {"seconds": 1}))
