"""Nothing commits on facts older than a confirmed call (I38, R53)."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import grpc
from sqlalchemy import text

from services.directory_replica.fence import close_fence
from tests.support.grpc_world import failure, reason

_LOCK_THREAD = text("select 1 from conversations where id = :id for update")


async def held_thread(world, id, release):
    """Another transaction that holds a thread's row until it is told to let go."""
    held = asyncio.Event()

    async def hold(connection, _):
        await connection.execute(_LOCK_THREAD, {"id": id})
        held.set()
        await release.wait()

    task = asyncio.create_task(
        world.database.transact(hold, clinics=[world.clinic_id], deadline=10)
    )
    await held.wait()
    return task


async def test_a_send_that_waited_for_its_row_sees_the_merge_that_committed_meanwhile(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    release = asyncio.Event()
    holder = await held_thread(world, thread.conversation_id, release)
    send = asyncio.create_task(failure(doctor.send(thread.conversation_id)))
    await asyncio.sleep(0.05)  # the send is on its way; later is as right

    await world.merge(patient, await world.profile())
    release.set()

    assert reason(await send) == "CONVERSATION_ARCHIVED"
    await holder


async def test_a_held_thread_does_not_hold_up_the_others(world):
    doctor = await world.staff()
    held = await doctor.start(await world.profile())
    free = await doctor.start(await world.profile())
    release = asyncio.Event()
    holder = await held_thread(world, held.conversation_id, release)
    waiting = [asyncio.create_task(doctor.send(held.conversation_id, f"{n}")) for n in range(5)]
    try:
        assert (await doctor.send(free.conversation_id)).sequence == 1
        assert not any(send.done() for send in waiting)
    finally:
        release.set()

    sent = [await send for send in waiting]
    assert sorted(message.sequence for message in sent) == [1, 2, 3, 4, 5]
    await holder


async def test_no_send_begun_after_a_confirmed_call_breaks_it(world):
    """200 tries, the change at a random moment among the sends of both sides."""
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    await doctor.send(thread.conversation_id)
    confirmed = asyncio.Event()

    async def change():
        await asyncio.sleep(random.uniform(0, 0.2))
        await world.deactivate(doctor)
        confirmed.set()

    async def send(person):
        await asyncio.sleep(random.uniform(0, 0.4))
        begun_after = confirmed.is_set()
        try:
            await person.send(thread.conversation_id)
        except Exception:
            return False
        return begun_after

    changing = asyncio.create_task(change())
    broke = await asyncio.gather(*(send(random.choice([doctor, patient])) for _ in range(200)))

    await changing
    assert not any(broke)


async def test_a_change_waits_for_the_sends_that_hold_the_fence(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    release, fenced = asyncio.Event(), asyncio.Event()

    async def hold(connection, _):
        await close_fence(connection, world.clinic_id)
        fenced.set()
        await release.wait()

    holder = asyncio.create_task(
        world.database.transact(hold, clinics=[world.clinic_id], deadline=10)
    )
    await fenced.wait()
    send = asyncio.create_task(doctor.send(thread.conversation_id))
    await asyncio.sleep(0.05)
    assert not send.done()

    release.set()

    assert (await send).sequence == 1
    await holder


async def test_a_batch_decides_each_member_on_its_own(world):
    doctor, muted, open_ = await world.staff(), await world.profile(), await world.profile()
    other = await world.clinic(clinic_id=uuid4())
    foreign_doctor = await world.staff(clinic_id=other)
    foreign = await foreign_doctor.start(await world.profile(clinic_id=other))
    threads = [await doctor.start(profile) for profile in (muted, open_)]
    await world.update(muted, do_not_email=True)
    id, repeated = threads[1].conversation_id, uuid4()

    results: Sequence[Any] = await asyncio.gather(
        doctor.send(threads[0].conversation_id),
        doctor.send(id, "a"),
        doctor.send(id, "same", request_id=repeated),
        doctor.send(id, "same", request_id=repeated),
        doctor.send(foreign.conversation_id),
        foreign_doctor.send(foreign.conversation_id, "elsewhere"),
        return_exceptions=True,
    )

    assert reason(results[0]) == "RECIPIENT_DO_NOT_EMAIL"
    assert reason(results[4]) == "CONVERSATION_NOT_FOUND"
    assert results[2] == results[3]
    assert sorted(m.sequence for m in (results[1], results[2])) == [1, 2]
    assert results[5].sequence == 1


async def test_many_sends_to_one_thread_are_numbered_without_gaps(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    await doctor.send(thread.conversation_id)

    sent = await asyncio.gather(
        *(
            person.send(thread.conversation_id, f"{n}")
            for n in range(50)
            for person in (doctor, patient)
        )
    )

    assert sorted(message.sequence for message in sent) == list(range(2, 102))
    assert await patient.badge() == 51
    times = [m.send_time.ToNanoseconds() for m in await doctor.messages(thread.conversation_id)]
    assert times == sorted(times)


async def test_a_start_that_races_with_a_departure_is_refused_or_ends_archived(world):
    for _ in range(10):
        doctor, patient = await world.staff(), await world.profile()
        state = replace(world.state_of(doctor), active=False, deactivation_id=uuid4())

        start: Any
        start, _ = await asyncio.gather(
            doctor.start(patient), world.tell(state), return_exceptions=True
        )

        if isinstance(start, grpc.aio.AioRpcError):
            assert reason(start) == "CONVERSATION_READ_ONLY"
        else:
            shown = await doctor.get(start.conversation_id)
            assert len(shown.archive_reasons) == 1
