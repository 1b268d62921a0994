"""A provider gets so many a second, whoever waits for it."""

import asyncio
from datetime import timedelta

import pytest

from services.notifications.channels.pace import Pace
from tests.support.set_clock import SetClock

SECOND = timedelta(seconds=1)


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def busy(clock):
    """A pace of two a second that has had them."""
    pace = Pace(2, clock=clock)
    pace.take(2)
    return pace


async def test_who_comes_after_the_second_s_worth_waits_and_comes_in_order():
    pace, went = Pace(50), []
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def go(number):
        await pace.turn()
        went.append(number)

    await asyncio.gather(*(go(number) for number in range(60)))

    assert went == list(range(60))
    assert loop.time() - begun >= 0.19


async def test_who_gives_up_in_the_line_takes_no_turn():
    pace = Pace(10)
    pace.take(10)
    waiting = asyncio.create_task(pace.turn())
    await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.wait([waiting])

    assert pace.next_turn(1) is not None
    await asyncio.wait_for(pace.turn(), 1)


def test_each_that_has_to_come_again_is_told_a_later_time(busy, clock):
    told = [busy.next_turn(1) for _ in range(4)]

    assert told == [clock.now + SECOND / 2 * place for place in (1, 2, 3, 4)]


def test_who_comes_when_told_may_go(busy, clock):
    clock.now = busy.next_turn(1)

    assert busy.next_turn(1) is None


def test_more_than_a_second_s_worth_at_once_goes_when_the_bucket_is_full(busy, clock):
    assert busy.next_turn(5) is not None

    clock.advance(seconds=1)

    assert busy.next_turn(5) is None
