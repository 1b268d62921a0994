"""How long a refusal takes does not tell whether the thread exists (P10)."""

import random
import time
from statistics import median
from uuid import uuid4

import pytest

from tests.support.grpc_world import failure, reason

# A round of pairs, again until the medians agree or as many were taken as the promise speaks of: a
# real difference stays, that of a busy machine goes.
_ROUND = 100
_MOST = 2_000
_APART = 0.05

CALLS = {
    "get": lambda person, id: person.get(id),
    "list": lambda person, id: person.messages(id),
    "send": lambda person, id: person.send(id),
    "mark": lambda person, id: person.mark(id, 1),
    "delete": lambda person, id: person.delete(id, 1),
    "explain": lambda person, id: person.explain(conversation_id=id),
}


@pytest.fixture
async def strangers(world):
    """A thread of two people, a colleague and another patient, who are neither."""
    doctor, patient = await world.staff(), await world.profile()
    thread = (await doctor.start(patient)).conversation_id
    await doctor.send(thread)
    return thread, {"staff": await world.staff(), "profile": await world.profile()}


@pytest.mark.parametrize(
    ("call", "side"),
    [(call, side) for call in CALLS for side in ("staff", "profile")],
)
async def test_absent_and_forbidden_take_the_same_time(strangers, call, side):
    thread, people = strangers
    took: dict[bool, list[float]] = {True: [], False: []}

    while _apart(took) and len(took[True]) < _MOST:
        for _ in range(_ROUND):
            for forbidden in random.sample((True, False), 2):
                id = thread if forbidden else str(uuid4())
                took[forbidden].append(await _seconds(CALLS[call](people[side], id)))

    assert not _apart(took), {there: median(times) for there, times in took.items()}


async def _seconds(call):
    began = time.perf_counter()
    error = await failure(call)
    seconds = time.perf_counter() - began
    assert reason(error) == "CONVERSATION_NOT_FOUND"
    return seconds


def _apart(took):
    """Whether the medians differ by more than may be; so they do before anything was asked."""
    if not took[True]:
        return True
    there, absent = median(took[True]), median(took[False])
    return abs(there - absent) > _APART * min(there, absent)
