"""Group commit: what arrives while a transaction is under way forms the next one."""

import asyncio
from contextvars import ContextVar

import pytest

from services.chassis import batching
from services.chassis.batching import SKIPPED, Batcher
from services.chassis.errors import (
    Aborted,
    FailedPrecondition,
    ResourceExhausted,
    Unavailable,
)


class Refusal(FailedPrecondition):
    reason = "REFUSED"


class Ledger:
    """What the transactions of a batcher were, each opened by the test when it may commit.

    A member is `<key><number>`, such as "a1"; its result is the member itself.
    """

    def __init__(self):
        self.batches = []
        self.waited = []
        self.committed = []
        self.locked = set()
        self.unlocked = asyncio.Event()
        self.outcomes = {}
        self.breaks = {}
        self.open = asyncio.Event()
        self.open.set()
        self.batcher = Batcher(self.commit, key=lambda member: member[0])

    async def commit(self, members, wait):
        self.batches.append(list(members))
        self.waited.append(wait)
        await self.open.wait()
        while wait and members[0][0] in self.locked:
            await self.unlocked.wait()
        for member in members:
            if error := self.breaks.get(member):
                raise error
        return [self._outcome(member) for member in members]

    def _outcome(self, member):
        if member[0] in self.locked:
            return SKIPPED
        outcome = self.outcomes.get(member, member)
        if outcome is member:
            self.committed.append(member)
        return outcome

    def unlock(self, *keys):
        self.locked -= set(keys)
        self.unlocked.set()
        self.unlocked = asyncio.Event()

    def submit(self, *members):
        return [asyncio.create_task(self.batcher.submit(member)) for member in members]


@pytest.fixture
async def ledger():
    return Ledger()


async def _turns(count=20):
    """Let everything that can go on go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def _outcomes(calls):
    return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)


async def test_one_alone_is_a_batch_of_one_and_does_not_linger(ledger):
    assert await ledger.batcher.submit("a1") == "a1"

    assert (ledger.batches, ledger.waited) == ([["a1"]], [False])


async def test_arrivals_during_a_transaction_form_the_next(ledger):
    ledger.open.clear()
    calls = ledger.submit("a1")
    await _turns()
    calls += ledger.submit("b1", "c1")
    await _turns()
    calls += ledger.submit("a2")
    ledger.open.set()

    assert await _outcomes(calls) == ["a1", "b1", "c1", "a2"]
    assert ledger.batches == [["a1"], ["b1", "c1", "a2"]]


async def test_at_most_128_members_form_a_batch(ledger):
    ledger.open.clear()
    calls = ledger.submit("a0")
    await _turns()
    calls += ledger.submit(*(f"b{number}" for number in range(300)))
    await _turns()
    ledger.open.set()
    await _outcomes(calls)

    assert [len(batch) for batch in ledger.batches] == [1, 128, 128, 44]
    assert ledger.committed == ["a0", *(f"b{number}" for number in range(300))]


async def test_a_refusal_concerns_its_own_member(ledger):
    ledger.outcomes["a2"] = Refusal("no")

    one, two, three = await _outcomes(ledger.submit("a1", "a2", "a3"))

    assert (one, three) == ("a1", "a3")
    assert isinstance(two, Refusal)


async def test_a_locked_key_waits_in_its_lane_and_holds_up_nobody(ledger):
    ledger.locked.add("a")
    waiting = ledger.submit("a1", "a2")
    free = ledger.submit("b1")
    await _turns()

    assert await _outcomes(free) == ["b1"]
    assert not any(call.done() for call in waiting)

    more = ledger.submit("a3", "b2")
    await _turns()
    assert more[1].result() == "b2"
    ledger.unlock("a", "b")
    assert await _outcomes([*waiting, more[0]]) == ["a1", "a2", "a3"]
    assert [member for member in ledger.committed if member[0] == "a"] == ["a1", "a2", "a3"]


async def test_a_lane_waits_for_its_lock_and_the_road_does_not(ledger):
    ledger.locked.add("a")
    calls = ledger.submit("a1", "b1")
    await _turns()
    ledger.unlock("a", "b")
    await _outcomes(calls)

    assert list(zip(ledger.batches, ledger.waited, strict=True)) == [
        (["a1", "b1"], False),
        (["a1"], True),
    ]


async def test_an_empty_lane_is_left_for_the_road(ledger):
    ledger.locked.add("a")
    calls = ledger.submit("a1")
    await _turns()
    ledger.unlock("a", "b")
    await _outcomes(calls)

    await ledger.batcher.submit("a2")

    assert ledger.waited == [False, True, False]


async def test_lanes_of_two_keys_do_not_wait_for_each_other(ledger):
    ledger.locked |= {"a", "b"}
    calls = ledger.submit("a1", "b1")
    await _turns()
    ledger.unlock("b")

    await _turns()

    assert [call.done() for call in calls] == [False, True]
    ledger.unlock("a", "b")
    await _outcomes(calls)


@pytest.mark.parametrize("error", [ValueError("poison"), Aborted("lost the race")])
async def test_a_poisonous_member_fails_alone(ledger, error):
    ledger.breaks["a2"] = error

    outcomes = await _outcomes(ledger.submit("a1", "a2", "b1", "a3"))

    assert outcomes == ["a1", error, "b1", "a3"]
    assert ledger.committed == ["a1", "b1", "a3"]
    assert await ledger.batcher.submit("a4") == "a4"


async def test_a_poisoned_batch_keeps_the_order_of_a_key_that_is_locked(ledger):
    ledger.breaks["b1"] = ValueError("poison")
    ledger.locked.add("a")
    calls = ledger.submit("b1", "a1", "a2", "c1")
    await _turns(40)

    assert [call.done() for call in calls] == [True, False, False, True]
    ledger.unlock("a", "b")
    await _outcomes(calls)
    assert ledger.committed == ["c1", "a1", "a2"]


async def test_a_poisonous_member_in_a_lane_fails_alone(ledger):
    ledger.locked.add("a")
    calls = ledger.submit("a1")
    await _turns()
    calls += ledger.submit("a2", "a3", "a4")
    await _turns()
    ledger.breaks["a3"] = ValueError("poison")
    ledger.unlock("a", "b")

    outcomes = await _outcomes(calls)

    assert outcomes == ["a1", "a2", ledger.breaks["a3"], "a4"]
    assert ledger.committed == ["a1", "a2", "a4"]


async def test_a_database_out_of_reach_fails_all_alike_and_is_not_asked_again(ledger):
    ledger.breaks["a1"] = Unavailable("out of reach")

    outcomes = await _outcomes(ledger.submit("a1", "b1"))

    assert outcomes == [ledger.breaks["a1"]] * 2
    assert len(ledger.batches) == 1


async def test_too_few_outcomes_leave_nobody_waiting():
    async def forget_one(members, wait):
        return list(members)[1:]

    batcher = Batcher(forget_one, key=lambda member: member)
    calls = [asyncio.create_task(batcher.submit(member)) for member in "abc"]

    assert {type(outcome) for outcome in await _outcomes(calls)} == {ValueError}


async def test_a_waiter_that_is_cancelled_does_not_cancel_its_write(ledger):
    ledger.open.clear()
    (gone,) = ledger.submit("a1")
    await _turns()
    (queued,) = ledger.submit("a2")
    await _turns()
    gone.cancel()
    queued.cancel()
    (last,) = ledger.submit("a3")
    await _turns()
    ledger.open.set()

    assert await _outcomes([last]) == ["a3"]
    assert ledger.committed == ["a1", "a2", "a3"]


async def test_more_than_may_wait_are_turned_away_also_where_waiters_are_gone(ledger, monkeypatch):
    monkeypatch.setattr(batching, "MOST_WAITING", 3)
    ledger.open.clear()
    calls = ledger.submit("a1", "a2", "a3")
    await _turns()
    calls[1].cancel()
    await _turns()

    with pytest.raises(ResourceExhausted):
        await ledger.batcher.submit("a4")

    ledger.open.set()
    await _outcomes(calls)
    assert await ledger.batcher.submit("a5") == "a5"


async def test_a_transaction_speaks_for_none_of_its_callers():
    trace, seen = ContextVar[str]("trace"), []

    async def commit(members, wait):
        seen.append(trace.get("nobody's"))
        return members

    batcher = Batcher(commit, key=lambda member: member)

    async def call(member):
        trace.set(member)
        return await batcher.submit(member)

    await asyncio.gather(call("first"), call("second"))

    assert seen == ["nobody's"]
