"""No send commits on facts older than a confirmed call, and nothing waits without need (I38)."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from services.directory_replica.fence import fence_key, share_fence
from services.directory_replica.states import Version
from services.messaging_rule import Side
from tests.support.conversations_world import a_clinic, a_profile, a_session, a_staff_member
from tests.support.eventually import eventually

_WAITING = "select from pg_locks where locktype = 'advisory' and not granted"
_EXCLUSIVE = "select from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock'"


def _next(state, **changes):
    version = state.stamp.version + 1
    return replace(state, stamp=Version(incarnation="i1", version=version), **changes)


@pytest.fixture
def somebody_waits(replica_databases):
    async def probe():
        with psycopg.connect(replica_databases.superuser) as connection:
            return connection.execute(_WAITING).fetchall()

    return probe


@pytest.fixture
def sending(app):
    """A send that has taken the fence of a clinic, and holds it until the block ends."""

    @asynccontextmanager
    async def sending(clinic_id, *, work=None):
        holds, may_end = asyncio.Event(), asyncio.Event()

        async def send(connection, _):
            await share_fence(connection, clinic_id)
            holds.set()
            await may_end.wait()
            if work is not None:
                await work(connection)

        task = asyncio.create_task(app.transact(send, clinics=[clinic_id]))
        await holds.wait()
        try:
            yield
        finally:
            may_end.set()
            await task

    return sending


@pytest.fixture(params=["clinic", "staff", "profile"])
def known(request, clinic_id):
    return {
        "clinic": a_clinic(clinic_id),
        "staff": a_staff_member(clinic_id),
        "profile": a_profile(clinic_id),
    }[request.param]


async def test_a_change_waits_for_the_sends_that_began_before(
    replica, held, sending, somebody_waits, clinic_id, known
):
    await replica.apply([known])
    async with sending(clinic_id):
        applying = asyncio.create_task(replica.apply([_next(known)]))
        await eventually(somebody_waits)

        assert not applying.done()
        assert await held(known) == known

    await applying
    assert await held(known) == _next(known)


async def test_a_send_that_begins_after_a_change_sees_it(
    replica, app, sending, somebody_waits, clinic_id, known, held
):
    await replica.apply([known])
    async with sending(clinic_id):
        applying = asyncio.create_task(replica.apply([_next(known)]))
        await eventually(somebody_waits)

        # It comes behind the change, which waits already: nobody overtakes it for ever.
        async def send(connection, _):
            await share_fence(connection, clinic_id)

        after = asyncio.create_task(app.transact(send, clinics=[clinic_id]))
        assert not after.done()

    await asyncio.gather(applying, after)
    assert await held(known) == _next(known)


async def test_what_is_not_held_yet_is_taken_in_at_once(replica, held, sending, clinic_id, known):
    async with sending(clinic_id):
        await replica.apply([known])

        assert await held(known) == known


async def test_a_session_is_changed_at_once(replica, held, sending, clinic_id):
    session = a_session(clinic_id, Side.STAFF, uuid4())
    await replica.apply([session])
    ended = _next(session, ended_at=session.opened_at)

    async with sending(clinic_id):
        await replica.apply([ended])

        assert await held(session) == ended


async def test_a_repeat_of_what_is_held_waits_for_nobody(replica, sending, clinic_id, known):
    await replica.apply([_next(known)])

    async with sending(clinic_id):
        await replica.apply([known, _next(known)])


async def test_another_clinic_s_sends_hold_up_nothing(replica, held, sending, known):
    await replica.apply([known])

    async with sending(uuid4()):
        await replica.apply([_next(known)])

        assert await held(known) == _next(known)


async def test_sends_do_not_wait_for_each_other(sending, clinic_id):
    async with sending(clinic_id), sending(clinic_id):
        pass


async def test_while_a_change_waits_it_holds_no_row(
    replica, app, sending, somebody_waits, clinic_id, known
):
    table = {"ClinicState": "clinics", "StaffState": "staff", "ProfileState": "profiles"}
    lock = text(f"select 1 from replica_{table[type(known).__name__]} for update nowait")
    await replica.apply([known])

    async def lock_the_row(connection):
        await connection.execute(lock)

    async with sending(clinic_id, work=lock_the_row):
        applying = asyncio.create_task(replica.apply([_next(known)]))
        await eventually(somebody_waits)

    await applying


async def test_a_batch_takes_the_fence_once_and_only_of_the_clinics_that_change(
    replica, held, sending, clinic_id
):
    unchanged = a_clinic(uuid4())
    first, second = a_profile(clinic_id), a_staff_member(clinic_id)
    await replica.apply([unchanged, first, second])

    async with sending(unchanged.clinic_id):
        await replica.apply([unchanged, _next(first), _next(second)])

    assert (await held(first), await held(second)) == (_next(first), _next(second))


def test_every_clinic_has_its_own_key_of_64_bits():
    clinics = [uuid4() for _ in range(1_000)]
    keys = [fence_key(clinic_id) for clinic_id in clinics]

    assert len(set(keys)) == 1_000
    assert all(-(2**63) <= key < 2**63 for key in keys)
    assert [fence_key(clinic_id) for clinic_id in clinics] == keys
