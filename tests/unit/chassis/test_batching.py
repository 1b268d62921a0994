"""Group commit: what arrives during a transaction forms the next (design section 4)."""

import asyncio
from dataclasses import dataclass

import pytest

from services.chassis.batching import MOST_MEMBERS, SKIPPED, Batcher
from services.chassis.errors import NotFound, Unavailable
from tests.support.eventually import eventually


@dataclass(frozen=True)
class Write:
    thread: str
    number: int


class Road:
    """Transactions that a test opens one by one, and what each held."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[Write], bool]] = []
        self.locked: set[str] = set()
        self.poison: set[int] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.batcher: Batcher[Write, int] = Batcher(self.commit, key=lambda write: write.thread)

    async def commit(self, members, wait):
        self.batches.append((list(members), wait))
        await self.gate.wait()
        if self.poison & {member.number for member in members}:
            raise ValueError("poison")
        return [
            SKIPPED if member.thread in self.locked and not wait else member.number
            for member in members
        ]

    async def has_lane(self):
        return any(wait for _, wait in self.batches)

    def submit(self, number, thread="t"):
        return asyncio.create_task(self.batcher.submit(Write(thread, number)))


@pytest.fixture
async def road():
    return Road()


async def test_alone_a_write_is_a_batch_of_one(road):
    assert await road.submit(1) == 1
    assert [len(batch) for batch, _ in road.batches] == [1]


async def test_what_arrives_during_a_transaction_forms_the_next(road):
    road.gate.clear()
    first = road.submit(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [road.submit(n) for n in range(2, 12)]
    await asyncio.sleep(0)

    road.gate.set()

    assert await asyncio.gather(first, *others) == list(range(1, 12))
    assert [len(batch) for batch, _ in road.batches] == [1, 10]


async def test_a_batch_has_a_most(road):
    answers = await asyncio.gather(*(road.submit(n) for n in range(MOST_MEMBERS + 10)))

    assert answers == list(range(MOST_MEMBERS + 10))
    assert max(len(batch) for batch, _ in road.batches) <= MOST_MEMBERS


async def test_a_held_thread_waits_in_its_own_lane_and_in_order(road):
    road.locked = {"held"}

    held = [road.submit(n, "held") for n in range(3)]
    free = road.submit(9, "free")

    assert await free == 9
    assert await asyncio.gather(*held) == [0, 1, 2]
    waited = [write.number for batch, wait in road.batches if wait for write in batch]
    assert waited == [0, 1, 2]


async def test_later_writes_of_a_thread_join_its_lane(road):
    road.locked = {"held"}
    first = road.submit(1, "held")
    await eventually(road.has_lane)

    second = road.submit(2, "held")

    assert [await first, await second] == [1, 2]
    order = [write.number for batch, wait in road.batches if wait for write in batch]
    assert order == [1, 2]


async def test_a_poisonous_member_fails_alone(road):
    road.poison = {2}

    results = await asyncio.gather(*(road.submit(n) for n in range(4)), return_exceptions=True)

    assert [r for r in results if not isinstance(r, Exception)] == [0, 1, 3]
    assert isinstance(results[2], ValueError)


async def test_a_refusal_concerns_its_own_member():
    async def commit(members, wait):
        return [NotFound("no") if member.number == 1 else member.number for member in members]

    batcher: Batcher[Write, int] = Batcher(commit, key=lambda write: write.thread)

    results = await asyncio.gather(
        *(batcher.submit(Write("t", n)) for n in range(3)), return_exceptions=True
    )

    assert isinstance(results[1], NotFound)
    assert [results[0], results[2]] == [0, 2]


async def test_a_database_out_of_reach_is_everybodys_answer_at_once():
    calls = []

    async def commit(members, wait):
        calls.append(len(members))
        raise Unavailable("gone")

    batcher: Batcher[Write, int] = Batcher(commit, key=lambda write: write.thread)

    results = await asyncio.gather(
        *(batcher.submit(Write("t", n)) for n in range(50)), return_exceptions=True
    )

    assert all(isinstance(result, Unavailable) for result in results)
    assert sum(calls) == 50


async def test_who_hangs_up_does_not_take_the_write_back(road):
    road.gate.clear()
    leaving = road.submit(1)
    staying = road.submit(2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    leaving.cancel()
    road.gate.set()

    assert await staying == 2
    assert {write.number for batch, _ in road.batches for write in batch} == {1, 2}
