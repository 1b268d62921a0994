"""Reasons, history and facts follow from the states, whatever happened to them (I1 to I6)."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from services.chassis.database import Database
from services.conversations.storage.archival import Archival
from services.conversations.usecases.derive_archival import derive_archival
from services.directory_replica.states import Version

_REASONS = text("select reasons from conversations where id = :id")
_HISTORY = text("""
select cause, cause_id, unarchived_at is null as in_force from archivals
where conversation_id = :id order by archived_at, cause_id
""")
_FACTS = text("select type from outbox where aggregate_id = :id order by id")


@pytest.fixture
async def worker(service_databases):
    database = Database(service_databases("conversations").worker, size=2, name="test")
    yield database
    await database.close()


@pytest.fixture
def archival(world, worker):
    return Archival(world.database, worker)


@pytest.fixture
async def thread(world):
    doctor, patient = await world.staff(), await world.profile()
    conversation = await doctor.start(patient)
    await doctor.send(conversation.conversation_id)
    return doctor, patient, conversation.conversation_id


async def look(worker, query, id):
    result = await worker.connect(lambda c: c.execute(query, {"id": id}))
    return result.all()


async def dump(world, id):
    """The thread, its messages and its receipts, as the tables hold them."""

    async def work(connection, _):
        rows = []
        for query in (
            "select * from conversations where id = :id",
            "select * from messages where conversation_id = :id order by sequence",
            "select * from read_marks where conversation_id = :id order by 3, 4",
        ):
            rows += [tuple(row) for row in await connection.execute(text(query), {"id": id})]
        return rows

    return await world.database.transact(work, clinics=[world.clinic_id])


async def until_derived(archival):
    while await derive_archival(archival):
        pass


async def test_a_merge_archives_and_an_unmerge_gives_back_an_equal_dump(
    world, worker, archival, thread
):
    doctor, patient, id = thread
    await doctor.mark(id, 1)
    before = await dump(world, id)

    merge_id = await world.merge(patient, await world.profile())
    await until_derived(archival)

    assert [row.reasons for row in await look(worker, _REASONS, id)] == [
        [f"MERGED_AWAY:{merge_id}"]
    ]
    await world.unmerge(patient)
    await until_derived(archival)
    assert await dump(world, id) == before


async def test_whoever_has_no_thread_keeps_nobody_waiting(world, archival):
    await until_derived(archival)
    doctor, patient = await world.staff(), await world.profile()

    await world.merge(patient, await world.profile())
    await world.deactivate(doctor)

    assert await archival.underived() == []


async def test_each_cause_is_told_once_and_kept_in_the_history(world, worker, archival, thread):
    doctor, patient, id = thread
    await world.merge(patient, await world.profile())
    await world.deactivate(doctor)
    await until_derived(archival)

    await world.unmerge(patient)
    await until_derived(archival)
    await until_derived(archival)

    facts = [row.type for row in await look(worker, _FACTS, id)]
    assert facts == [
        "conversation_started",
        "message_sent",
        "conversation_archived",
        "conversation_archived",
        "conversation_unarchived",
    ]

    async def history(connection, _):
        return [tuple(row)[::2] for row in await connection.execute(_HISTORY, {"id": id})]

    in_force = await world.database.transact(history, clinics=[world.clinic_id])
    assert sorted(in_force) == [("MERGED_AWAY", False), ("STAFF_INACTIVE", True)]


async def test_a_pass_that_broke_off_is_taken_up_again(world, worker, archival, thread):
    doctor, _, id = thread
    await world.deactivate(doctor)
    person = next(p for p in await archival.underived() if p.id == doctor.id)
    await archival.derive(person, after=None)  # and then the process dies

    await until_derived(archival)

    assert len((await look(worker, _REASONS, id))[0].reasons) == 1
    assert doctor.id not in [p.id for p in await archival.underived()]


async def test_a_state_that_moves_during_the_pass_is_looked_at_again(
    world, worker, archival, thread
):
    doctor, _, id = thread
    await world.deactivate(doctor)
    person = next(p for p in await archival.underived() if p.id == doctor.id)
    await archival.derive(person, after=None)
    await world.reactivate(doctor)

    await archival.done(person)
    await until_derived(archival)

    assert (await look(worker, _REASONS, id))[0].reasons == []


async def test_a_person_without_threads_is_settled_without_a_pass(world, archival):
    patient = await world.profile()

    assert patient.id not in [person.id for person in await archival.underived()]


async def test_the_same_version_of_a_later_life_of_the_directory_is_looked_at_again(
    world, worker, archival, thread
):
    _, patient, id = thread
    await world.merge(patient, await world.profile())
    await until_derived(archival)

    merged = world.state_of(patient)
    restored = replace(
        merged,
        stamp=Version(incarnation="i2", version=merged.stamp.version),
        merged_into=None,
        merge_id=None,
    )
    await world.replica.apply([restored])
    await until_derived(archival)

    assert (await look(worker, _REASONS, id))[0].reasons == []
