"""Who speaks with whom in a replay, and how its times are summed up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.replay.numbers import percentile
from services.cli.replay.pairing import pairs, staff_needed


@given(st.integers(1, 200), st.integers(1, 40), st.integers(0, 20))
def test_no_two_dialogues_have_the_same_two_people(dialogues, patients, spare):
    staff = staff_needed(dialogues, patients) + spare

    found = list(pairs(dialogues, patients=patients, staff=staff))

    assert len(found) == len(set(found)) == dialogues
    assert all(0 <= s < staff and 0 <= p < patients for s, p in found)


def test_too_few_staff_are_refused():
    with pytest.raises(ValueError, match="too few"):
        list(pairs(5, patients=2, staff=2))


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1), (0.0, 1)]
)
def test_a_percentile_is_a_value_that_was_measured(share, value):
    assert percentile(range(100, 0, -1), share) == value


def test_a_percentile_of_nothing_is_zero():
    assert percentile([], 0.99) == 0.0
