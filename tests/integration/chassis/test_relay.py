"""Every event reaches the bus at least once, in order within its aggregate, whatever fails (P3)."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from services.chassis import outbox, retention
from services.chassis.errors import Unavailable
from services.chassis.outbox import Sequencer
from services.chassis.relay import Refused, Relay
from tests.support.background import running
from tests.support.events import OnTheSpot, a_fact, crash_at_each_wait, facts_of, write
from tests.support.eventually import eventually

SOURCE = "conversations"
_HEAD = (
    "select published_position, relay_owner is not null and relay_until > now() from outbox_head"
)
_EXPIRE = "update outbox_head set relay_until = now() - interval '1 s' returning 1"


class Published:
    """A bus that notes what it takes, and fails as a test tells it."""

    def __init__(self):
        self.events = []
        self.failures = {}

    async def __call__(self, events):
        await asyncio.sleep(0)
        return [self._take(event) for event in events]

    def _take(self, event):
        failure = self.failures.get(event.event_id)
        if isinstance(failure, asyncio.CancelledError):
            raise failure
        if failure is None:
            self.events.append(event)
        return failure

    def of(self, aggregate):
        return [event.position for event in self.events if event.aggregate_id == aggregate]

    @property
    def positions(self):
        return sorted(event.position for event in self.events)


def _relay(worker, publish):
    return Relay(worker, source=SOURCE, publish=publish)


async def _relay_all(relay):
    while await relay.relay():
        pass


@pytest.fixture
def published():
    return Published()


@pytest.fixture
async def two_things(app, worker):
    """Six positioned events: those of two things in turn."""
    clinic, things = uuid4(), (uuid4(), uuid4())
    for turn in range(1, 4):
        for thing in things:
            fact = a_fact(clinic_id=clinic, aggregate_id=thing, aggregate_version=turn)
            await write(app, fact)
    await Sequencer(worker, positioned=lambda: None).number()
    return things


async def _events(worker):
    return await worker.connect(lambda c: outbox.read(c, SOURCE, after=0, most=100))


async def test_each_event_is_published_in_order_within_its_aggregate(
    worker, two_things, published, look
):
    await _relay_all(_relay(worker, published))

    assert published.of(two_things[0]) == [1, 3, 5]
    assert published.of(two_things[1]) == [2, 4, 6]
    assert look(_HEAD) == [(6, True)]


async def test_nothing_is_published_before_it_has_a_position(app, worker, published):
    await write(app, a_fact())

    await _relay_all(_relay(worker, published))

    assert published.events == []


async def test_more_than_one_page_is_published(app, worker, published):
    await write(app, *(a_fact() for _ in range(300)))
    await Sequencer(worker, positioned=lambda: None).number()

    await _relay_all(_relay(worker, published))

    assert published.positions == list(range(1, 301))


async def test_at_most_so_many_are_in_flight(app, worker):
    await write(app, *(a_fact() for _ in range(200)))
    await Sequencer(worker, positioned=lambda: None).number()
    most = 0

    async def publish(events):
        nonlocal most
        most = max(most, len(events))
        return [None] * len(events)

    await _relay_all(_relay(worker, publish))

    assert most == 64


async def test_a_pass_that_is_cut_anywhere_forgets_nothing(databases, worker, two_things, look):
    on_the_spot = OnTheSpot(databases.worker, size=1, name="cut")
    lives: list[Published] = []

    async def life():
        await on_the_spot.close()
        await _relay_all(_relay(on_the_spot, lives[-1]))

    def next_life():
        if lives:
            _nothing_was_forgotten(lives[-1], look)
        look("update outbox_head set published_position = 0, relay_until = '-infinity' returning 1")
        lives.append(Published())
        return life()

    cuts = await crash_at_each_wait(next_life)

    assert cuts > 5
    assert lives[-1].positions == [1, 2, 3, 4, 5, 6]
    await on_the_spot.close()


@pytest.mark.parametrize("position", [1, 2, 3, 4, 5, 6])
async def test_a_crash_in_the_midst_of_publishing_forgets_nothing(
    worker, two_things, published, look, position
):
    crashed = (await _events(worker))[position - 1]
    published.failures[crashed.event_id] = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await _relay_all(_relay(worker, published))
    _nothing_was_forgotten(published, look)
    published.failures.clear()
    look(_EXPIRE)

    await _relay_all(_relay(worker, published))

    assert set(published.positions) == {1, 2, 3, 4, 5, 6}
    for thing in two_things:
        firsts = list(dict.fromkeys(published.of(thing)))
        assert firsts == sorted(firsts)


def _nothing_was_forgotten(published, look):
    """What is recorded as published has been published."""
    ((position, _),) = look(_HEAD)
    assert set(range(1, position + 1)) <= set(published.positions)


async def test_what_cannot_be_published_now_holds_up_its_own_aggregate_alone(
    worker, two_things, published, look
):
    stuck = (await _events(worker))[2]
    published.failures[stuck.event_id] = Unavailable("not now")
    relay = _relay(worker, published)

    await _relay_all(relay)

    assert set(published.of(two_things[0])) == {1}
    assert list(dict.fromkeys(published.of(two_things[1]))) == [2, 4, 6]
    assert look(_HEAD)[0][0] == 2
    published.failures.clear()
    await _relay_all(relay)
    assert published.of(two_things[0])[-2:] == [3, 5]
    assert look(_HEAD)[0][0] == 6


async def test_what_is_refused_for_good_becomes_a_dead_letter_and_is_passed_over(
    worker, two_things, published, look
):
    refused = (await _events(worker))[2]
    published.failures[refused.event_id] = Refused()

    await _relay_all(_relay(worker, published))

    assert published.positions == [1, 2, 4, 5, 6]
    assert look(_HEAD)[0][0] == 6
    assert look("select consumer, event_id, position, aggregate_id from dead_letters") == [
        ("relay", refused.event_id, 3, refused.aggregate_id)
    ]


async def test_one_relay_at_a_time_publishes(worker, two_things, published):
    other = Published()
    stuck = (await _events(worker))[0]
    published.failures[stuck.event_id] = Unavailable("not now")
    await _relay_all(_relay(worker, published))

    await _relay_all(_relay(worker, other))

    assert other.events == []


async def test_a_relay_takes_over_where_one_that_died_left_off(
    app, worker, two_things, published, look
):
    await _relay_all(_relay(worker, published))
    await write(app, a_fact())
    await Sequencer(worker, positioned=lambda: None).number()
    look(_EXPIRE)
    other = Published()

    await _relay_all(_relay(worker, other))

    assert other.positions == [7]


async def test_a_relay_that_ends_leaves_at_once(worker, two_things, published, look):
    async with running(_relay(worker, published).run()):

        async def all_published():
            return len(published.events) == 6

        await eventually(all_published)

    assert look(_HEAD) == [(6, False)]


async def test_relays_side_by_side_publish_everything(app, worker, published):
    relays = [_relay(worker, published) for _ in range(2)]

    def wake():
        for relay in relays:
            relay.positioned.set()

    sequencer = Sequencer(worker, positioned=wake)
    thing, clinic = uuid4(), uuid4()
    async with running(sequencer.run(), *(relay.run() for relay in relays)):
        for fact in facts_of(thing, 20, clinic_id=clinic):
            await write(app, fact)
            sequencer.committed.set()

        async def all_published():
            return len(published.events) >= 20

        await eventually(all_published)

    assert published.of(thing) == list(range(1, 21))


async def test_retention_keeps_what_is_not_published(worker, two_things, published, look):
    stuck = (await _events(worker))[2]
    published.failures[stuck.event_id] = Unavailable("not now")
    await _relay_all(_relay(worker, published))

    for _ in range(2):
        await retention.clean(worker, events_after=timedelta(0))

    assert look("select min(position), count(*) from outbox") == [(3, 4)]
