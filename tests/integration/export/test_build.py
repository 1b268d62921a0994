"""An export is complete, the same whenever it is built, and never half (R46, I26 to I28, P14)."""

import asyncio
import shutil
from datetime import timedelta
from uuid import UUID

import pytest

from clinic.export.v1 import export_pb2
from services.export.domain.job import MOST_ATTEMPTS, LeaseLost
from services.export.usecases.tidy_up import tidy_up
from services.export_format.layout import CONVERSATIONS, FILES, MESSAGES
from services.export_format.verify import verify
from services.messaging_rule import Side
from tests.support.eventually import eventually
from tests.support.export_world import BEFORE
from tests.support.grpc_world import failure, reason


@pytest.fixture
async def staff(world):
    await world.owner()
    return await world.staff(name="Dr Finch")


def talk(thread, messages=7):
    for number in range(messages):
        thread.say(f"message {number}", by=Side.PROFILE if number % 3 else Side.STAFF)


async def tidy(world):
    await tidy_up(world.workshop.jobs, world.workshop.shelf)


async def test_all_of_it_is_there_and_the_verifier_agrees(world, staff):
    open_thread = world.thread(staff, name="Zoë O'Brien")
    open_thread.say("=1+1\n\u2028Größe 😀", read_at=BEFORE + timedelta(hours=1))
    open_thread.say(None, by=Side.PROFILE, read_at=BEFORE + timedelta(hours=2))
    merged = world.thread(staff)
    merged.archive("MERGED_AWAY", BEFORE, BEFORE + timedelta(days=1))
    merged.archive("STAFF_INACTIVE", BEFORE + timedelta(days=2))
    merged.say("kept", by=Side.PROFILE)
    empty = world.thread(staff)
    elsewhere = world.thread(await world.staff())
    elsewhere.say("not of this staff member")

    export = await world.built(staff)

    assert verify(world.path(export), world.public_keys) == []
    written, tombstone, kept = world.lines(export, MESSAGES)
    assert written["text"] == "=1+1\n\u2028Größe 😀"
    assert (written["sender_side"], written["sender_id"]) == ("staff", str(staff.id))
    assert written["read_at"] is not None
    assert (tombstone["text"], tombstone["sender_id"]) == (None, str(open_thread.profile_id))
    assert tombstone["deleted_at"] is not None
    assert tombstone["read_at"] is not None
    assert kept["text"] == "kept"
    threads = world.lines(export, CONVERSATIONS)
    assert [(t["messages"], t["tombstones"]) for t in threads] == [(2, 1), (1, 0), (0, 0)]
    assert threads[0]["profile_name"] == "Zoë O'Brien"
    assert [a["cause"] for a in threads[1]["archivals"]] == ["MERGED_AWAY", "STAFF_INACTIVE"]
    assert threads[1]["archivals"][1]["ended_at"] is None
    assert threads[2]["conversation_id"] == str(empty.id)
    ready = await world.get(export)
    assert (ready.conversation_count, ready.message_count) == (3, 3)
    assert ready.expire_time.ToDatetime() - ready.create_time.ToDatetime() > timedelta(days=6.9)


async def test_somebody_without_conversations_has_an_export_too(world, staff):
    export = await world.built(staff)

    assert verify(world.path(export), world.public_keys) == []
    assert world.lines(export, MESSAGES) == []


async def test_what_came_after_the_cutoff_waits_for_the_next_export(world, staff):
    thread = world.thread(staff)
    talk(thread, 2)
    export = await world.create(staff)
    cutoff_at = export.cutoff_time.ToDatetime()
    thread.say("at the cut-off", at=cutoff_at)
    thread.say("too late", at=cutoff_at + timedelta(microseconds=1))

    await world.build()

    assert [line["sequence"] for line in world.lines(export, MESSAGES)] == [1, 2, 3]


async def test_a_second_run_of_a_job_writes_the_same_bytes_though_people_were_renamed(world, staff):
    thread = world.thread(staff, name="Old Name")
    talk(thread)
    export = await world.built(staff)
    first = world.files(export)
    world.begin_again(export)
    world.details.names[str(thread.profile_id)] = "New Name"
    world.details.names[str(staff.id)] = "Dr New"

    await world.build()

    assert world.files(export) == first
    assert sorted(first) == sorted(FILES)


# A stream of three conversations with six messages each; a checkpoint comes after every third item.
@pytest.mark.parametrize(
    ("breaks_after", "thread", "sequence"),
    [(2, None, 0), (3, 0, 2), (6, 0, 5), (9, 1, 1), (13, 1, 4), (15, 2, 0), (20, 2, 3)],
)
async def test_an_attempt_that_broke_is_gone_on_with_and_writes_the_same_bytes(
    world, staff, breaks_after, thread, sequence
):
    for number in range(3):
        talk(world.thread(staff, name=f"Pat {number}"), messages=6)
    export = await world.create(staff)
    world.threads.breaks_after = breaks_after
    await world.build()
    half = world.path(export).exists()
    world.threads.breaks_after = None
    world.due()
    await world.build()
    resumed = world.files(export)
    world.begin_again(export)
    await world.build()

    _, asked, _ = world.threads.asked
    expected = "" if thread is None else str(world.threads.all[thread].id)
    assert (asked.resume_conversation_id, asked.resume_sequence) == (expected, sequence)
    assert not half
    assert resumed == world.files(export)
    assert verify(world.path(export), world.public_keys) == []


async def test_an_attempt_begins_anew_where_what_was_left_is_gone(world, staff):
    talk(world.thread(staff))
    export = await world.create(staff)
    world.threads.breaks_after = 7
    await world.build()
    for draft in world.folder.glob(f"{export.export_id}.*"):
        shutil.rmtree(draft)
    world.threads.breaks_after = None
    world.due()

    await world.build()

    assert world.threads.asked[1].resume_sequence == 0
    assert len(world.lines(export, MESSAGES)) == 7
    assert verify(world.path(export), world.public_keys) == []
    assert (await world.get(export)).message_count == 7


async def test_a_crash_between_the_files_and_the_row_loses_nothing(world, staff):
    talk(world.thread(staff))
    export = await world.built(staff)
    files = world.files(export)
    world.execute(
        "update exports set state = 'RUNNING', expires_at = null, lease_id = gen_random_uuid(),"
        " due_at = clock_timestamp()"
    )

    await world.build()

    assert await world.state(export) == "READY"
    assert world.files(export) == files
    assert len(world.threads.asked) == 1


async def test_an_attempt_that_was_taken_for_dead_changes_nothing_any_more(world, staff):
    talk(world.thread(staff))
    export = await world.create(staff)
    dead = await world.workshop.jobs.claim()
    world.due()
    await world.build()

    for change in (world.workshop.jobs.renew, world.workshop.jobs.finish):
        with pytest.raises(LeaseLost):
            await change(dead)
    with pytest.raises(LeaseLost):
        await world.workshop.jobs.put_back(dead, OSError())
    assert await world.state(export) == "READY"


async def test_no_two_attempts_at_once_hold_a_job(world, staff):
    await world.create(staff)

    assert await world.workshop.jobs.claim() is not None
    assert await world.workshop.jobs.claim() is None


async def test_a_stream_out_of_order_is_never_an_export_and_is_given_up_in_the_end(world, staff):
    thread = world.thread(staff)
    talk(thread, 4)
    del thread.messages[1]
    export = await world.create(staff)
    for _ in range(MOST_ATTEMPTS):
        world.due()
        await world.build()
    await tidy(world)

    assert await world.state(export) == "FAILED"
    assert world.audit()[-1] == (
        "give_up_export",
        "done",
        "services.export.domain.stream.OutOfOrder",
    )
    assert list(world.folder.glob(f"{export.export_id}*")) == []
    assert not await world.build()


async def test_a_job_that_ends_the_process_each_time_is_given_up(world, staff):
    export = await world.create(staff)
    world.execute("update exports set attempts = %(most)s", most=MOST_ATTEMPTS)

    await world.build()

    assert await world.state(export) == "FAILED"


async def test_progress_forgives_the_attempts_before_it(world, staff):
    talk(world.thread(staff))
    await world.create(staff)
    world.execute("update exports set attempts = 10")
    world.threads.breaks_after = 5

    await world.build()

    assert world.execute("select attempts from exports")[0]["attempts"] == 0


async def test_a_disk_that_fails_leaves_no_half_file_and_the_job_waits(world, staff):
    talk(world.thread(staff))
    export = await world.create(staff)
    shutil.rmtree(world.folder)
    await world.build()
    state = await world.state(export)
    world.folder.mkdir(mode=0o700)
    world.due()

    await world.build()

    assert state == "RUNNING"
    assert verify(world.path(export), world.public_keys) == []


async def test_what_was_cancelled_while_it_was_built_is_swept_away(world, staff):
    talk(world.thread(staff))
    export = await world.create(staff)
    world.threads.breaks_after = 5
    await world.build()
    begun = list(world.folder.glob(f"{export.export_id}.*"))
    await world.cancel(export)
    world.due()
    built = await world.build()
    await tidy(world)

    assert begun
    assert not built
    assert list(world.folder.glob(f"{export.export_id}*")) == []
    assert world.execute("select * from export_conversations") == []


async def test_the_files_are_handed_over_as_they_are(world, staff):
    talk(world.thread(staff))
    export = await world.built(staff)

    files = await world.download(export)

    assert files == world.files(export)
    assert world.audit()[-1] == ("download_export", "done", "")


async def test_a_large_file_comes_in_chunks(world, staff):
    thread = world.thread(staff)
    for _ in range(60):
        thread.say("x" * 10_000)
    export = await world.built(staff)

    assert (await world.download(export))[MESSAGES] == world.files(export)[MESSAGES]


async def test_there_is_nothing_to_fetch_before_it_is_built(world, staff):
    export = await world.create(staff)

    error = await failure(world.download(export))

    assert reason(error) == "EXPORT_NOT_READY"


async def test_nothing_is_handed_over_once_the_owners_address_changed(world, staff):
    owner = next(state for state in world.directory.states.values() if is_owner(state, world))
    export = await world.built(staff)
    world.details.addresses[str(owner.staff_id)] = "taken.over@clinic.test"

    error = await failure(world.download(export))

    assert reason(error) == "OWNER_CHANGED"


def is_owner(state, world):
    return getattr(state, "account_owner", False) and state.clinic_id == world.clinic_id


async def test_an_export_ends_after_its_time_with_its_files_and_names(world, staff):
    talk(world.thread(staff))
    export = await world.built(staff)
    await tidy(world)
    kept = world.path(export).exists()
    world.execute("update exports set expires_at = clock_timestamp()")

    await tidy(world)

    assert kept
    assert await world.state(export) == "EXPIRED"
    assert not world.path(export).exists()
    assert world.execute("select * from export_conversations") == []
    assert world.execute("select staff_name from exports") == [{"staff_name": None}]
    assert reason(await failure(world.download(export))) == "EXPORT_NOT_READY"
    assert world.audit()[-1] == ("expire_export", "done", "")


async def test_files_that_no_row_knows_are_left_alone(world):
    unknown = world.folder / str(UUID(int=7))
    unknown.mkdir()

    await tidy(world)

    assert unknown.exists()
    unknown.rmdir()


async def test_jobs_wait_their_turn(world, staff):
    talk(world.thread(staff))
    first, second = await world.create(staff), await world.create(staff)

    await world.build()
    states = [await world.state(export) for export in (first, second)]

    assert states == ["READY", "APPROVED"]
    assert (await world.get(second)).state == export_pb2.EXPORT_STATE_APPROVED


async def test_a_process_that_stops_leaves_its_job_to_another_at_once(world, staff):
    talk(world.thread(staff))
    export = await world.create(staff)
    world.threads.holds_after = 5
    building = asyncio.create_task(world.build())

    async def saved():
        return (await world.get(export)).message_count

    await eventually(saved)
    building.cancel()
    await asyncio.wait([building])
    world.threads.holds_after = None

    await world.build()

    assert building.cancelled()
    assert await world.state(export) == "READY"
    assert world.threads.asked[1].resume_sequence > 0
