"""A token bucket gives its burst, then its rate, and forgets what it need not know."""

import pytest

from services.chassis.limits import TokenBucket
from tests.support.set_clock import SetClock


def a_bucket(clock: SetClock, *, rate: float = 1.0, burst: float = 3, keys: int = 100):
    return TokenBucket(rate=rate, burst=burst, clock=clock, keys=keys)


def test_a_burst_is_granted_and_the_next_is_told_how_long_to_wait():
    bucket = a_bucket(SetClock(), rate=2.0, burst=3)

    waits = [bucket.take("a") for _ in range(4)]

    assert waits == [0.0, 0.0, 0.0, 0.5]


def test_after_the_wait_that_was_told_the_next_is_granted():
    clock = SetClock()
    bucket = a_bucket(clock, rate=2.0, burst=1)
    bucket.take("a")
    wait = bucket.take("a")

    clock.advance(seconds=wait)

    assert bucket.take("a") == 0.0


def test_a_refusal_takes_nothing():
    clock = SetClock()
    bucket = a_bucket(clock, rate=1.0, burst=1)
    bucket.take("a")
    for _ in range(50):
        bucket.take("a")

    clock.advance(seconds=1)

    assert bucket.take("a") == 0.0


def test_a_long_rest_fills_the_bucket_no_further_than_its_burst():
    clock = SetClock()
    bucket = a_bucket(clock, rate=1.0, burst=2)
    bucket.take("a")

    clock.advance(hours=1)

    assert [bucket.take("a") > 0 for _ in range(3)] == [False, False, True]


def test_keys_do_not_share_a_bucket():
    bucket = a_bucket(SetClock(), burst=1)
    bucket.take("a")

    assert bucket.take("b") == 0.0


def test_memory_is_bounded_and_the_longest_unused_is_forgotten():
    bucket = a_bucket(SetClock(), burst=1, keys=2)
    for key in ("a", "b", "c"):
        bucket.take(key)

    assert bucket.take("c") > 0
    assert bucket.take("a") == 0.0


def test_a_clock_set_back_neither_fills_nor_empties_a_bucket():
    clock = SetClock()
    bucket = a_bucket(clock, rate=1.0, burst=2)
    bucket.take("a")

    clock.advance(hours=-1)

    assert [bucket.take("a") > 0 for _ in range(2)] == [False, True]


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_bucket_that_could_never_grant_is_refused(rate, burst):
    with pytest.raises(ValueError):
        a_bucket(SetClock(), rate=rate, burst=burst)


def test_who_asks_how_long_to_wait_takes_nothing():
    bucket = a_bucket(SetClock(), rate=2.0, burst=1)

    assert [bucket.wait("a"), bucket.wait("a", 2)] == [0.0, 0.5]
    assert [bucket.take("a"), bucket.wait("a")] == [0.0, 0.5]
