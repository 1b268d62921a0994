"""A lane keeps a provider that is down from holding up anybody else."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.notifications.channels import push_lanes
from services.notifications.channels.failures import NoAnswer, TryLater
from services.notifications.channels.push_lanes import AT_ONCE, Lane


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lane(clock, monkeypatch):
    monkeypatch.setattr(push_lanes, "_LOOK_SECONDS", 0.02)
    return Lane(clock)


async def fails(lane, failure=NoAnswer):
    with pytest.raises(failure):
        async with lane.turn():
            raise failure


async def test_a_few_at_a_time_and_who_waits_for_a_lane_that_stands_still_is_told(lane):
    release = asyncio.Event()

    async def hold():
        async with lane.turn():
            await release.wait()
            lane.succeeded()

    holding = [asyncio.create_task(hold()) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)

    with pytest.raises(TryLater):
        async with lane.turn():
            raise AssertionError("there was a place")
    release.set()
    await asyncio.gather(*holding)
    async with lane.turn():
        pass


async def test_four_failures_close_it_for_longer_and_longer(lane, clock):
    for _ in range(4):
        await fails(lane)

    pauses = []
    for _ in range(7):
        with pytest.raises(TryLater) as raised:
            async with lane.turn():
                pass
        not_before = raised.value.not_before
        assert not_before is not None
        pauses.append((not_before - clock.now).total_seconds())
        clock.now = not_before
        await fails(lane)

    assert pauses == [1, 2, 4, 8, 16, 30, 30]


async def test_a_success_between_failures_keeps_it_open(lane):
    for _ in range(3):
        await fails(lane)
    lane.succeeded()

    for _ in range(3):
        await fails(lane)

    async with lane.turn():
        pass


async def test_a_success_after_a_pause_opens_it_for_all(lane, clock):
    for _ in range(4):
        await fails(lane)
    clock.now += timedelta(seconds=1)

    async with lane.turn():
        with pytest.raises(TryLater):
            async with lane.turn():
                raise AssertionError("two tried at once")
        lane.succeeded()

    async with lane.turn(), lane.turn():
        pass


async def test_a_provider_that_names_a_time_is_left_alone_until_then_but_not_for_long(lane, clock):
    lane.failed(not_before=clock.now + timedelta(hours=1))

    with pytest.raises(TryLater) as raised:
        async with lane.turn():
            pass

    assert raised.value.not_before == clock.now + timedelta(seconds=30)
