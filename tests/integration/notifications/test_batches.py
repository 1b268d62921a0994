"""Facts that come together have the effects that they would have one by one (P4, P20)."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chassis.errors import Unavailable
from services.chassis.inbox import Malformed, NotAllHandled
from services.messaging_rule import Side
from services.notifications.consumers.conversations_events import handler
from services.notifications.storage.people import NotHeld
from tests.support.notifications_world import LONG

STEPS = ("staff", "profile", "delete", "read")
CALLED_OFF = {"CANCELLED(DELETED)", "CANCELLED(READ)"}


@pytest.fixture
async def threads(world):
    """One whose staff member wants mail, one whose does not, one whose patient wants none."""
    await world.clinic(hold=LONG)
    found = [await world.thread() for _ in range(3)]
    found[1].staff_id = await world.staff()
    found[2].profile_id = await world.profile(do_not_email=True)
    return found


def ledger(world):
    """What became of each message; which of two reasons comes first is the order's to say."""

    def of(row):
        state = row["state"] if row["reason"] is None else f"{row['state']}({row['reason']})"
        return "CALLED OFF" if state in CALLED_OFF else state

    rows = world.rows(channel=None)
    return {(row["message_id"], row["channel"]): of(row) for row in rows}


def bursts(world):
    """Which waiting messages go together."""
    found: dict[UUID, set[UUID]] = {}
    for row in world.rows():
        if row["state"] == "HELD":
            found.setdefault(row["dispatch_id"], set()).add(row["message_id"])
    return sorted(found.values(), key=sorted)


def events_of(threads, steps):
    """Facts of three threads, as a list of steps says."""
    events, sent = [], []
    for step, number in steps:
        thread = threads[number % 3]
        if step in ("staff", "profile"):
            sent.append(thread.message(Side(step)))
            events.append(sent[-1].event)
        elif step == "delete" and sent:
            message = sent[number % len(sent)]
            events.append(message.thread.deletion(message))
        elif step == "read":
            side = Side.STAFF if number % 2 else Side.PROFILE
            events.append(thread.reading(side, number % 5))
    return events


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11)), min_size=1, max_size=14),
    data=st.data(),
)
async def test_any_cut_of_any_order_gives_the_same_ledger(world, threads, steps, data):
    world.clear_ledger()
    events = events_of(threads, steps)
    for event in events:
        await world.take(event)
    alone, alone_bursts = ledger(world), bursts(world)
    world.clear_ledger()

    shuffled = data.draw(st.permutations([*events, *events[:3]]))
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        await world.take(*shuffled[:size])
        shuffled = shuffled[size:]

    assert ledger(world) == alone
    assert bursts(world) == alone_bursts


async def test_a_fact_that_breaks_its_contract_spoils_no_other_of_its_batch(world):
    thread = await world.thread()
    good, bad = thread.message(), thread.message()
    broken = replace(bad.event, payload=b"\xff")

    with pytest.raises(NotAllHandled) as some:
        await handler(world.storage)([broken, good.event])

    assert {id: type(why) for id, why in some.value.failures.items()} == {
        broken.event_id: Malformed
    }
    assert world.outcome(good) == "HELD"


async def test_somebody_whom_nobody_knows_holds_up_nobody_else(world):
    thread, other = await world.thread(), await world.thread()
    thread.profile_id = uuid4()
    lost, good = thread.message(), other.message()

    with pytest.raises(NotAllHandled) as some:
        await handler(world.storage)([lost.event, good.event])

    assert {id: type(why) for id, why in some.value.failures.items()} == {
        lost.event.event_id: NotHeld
    }
    assert world.outcome(good) == "HELD"


async def test_somebody_who_cannot_be_looked_up_now_holds_up_nobody_else(world):
    thread, other = await world.thread(), await world.thread()
    thread.profile_id = world.unheard_profile()
    waits, good = thread.message(), other.message()
    world.directory.reachable = False

    with pytest.raises(NotAllHandled) as some:
        await handler(world.storage)([waits.event, good.event])

    assert {id: type(why) for id, why in some.value.failures.items()} == {
        waits.event.event_id: Unavailable
    }
    assert world.outcome(good) == "HELD"
    world.directory.reachable = True
    await world.take(waits.event, good.event)
    assert world.outcome(waits) == "HELD"
