"""What the ledger forgets, and that nobody is told again for it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.notifications.consumers.conversations_events import LEDGER_KEPT
from services.notifications.storage.forgetting import Forgetting
from tests.support.notifications_world import LONG

AGE = timedelta(days=400)


@pytest.fixture
def forgetting(world):
    return Forgetting(world.worker, age=AGE)


async def test_what_was_settled_long_ago_is_forgotten_and_nothing_younger(world, forgetting):
    thread = await world.thread()
    old, young = await thread.send(), await thread.send()
    await world.dispatch_due()
    world.decided_long_ago(old, AGE + LONG)

    await forgetting.run()

    assert world.rows(old, channel=None) == []
    assert world.outcome(young) == "SENT"


async def test_what_still_waits_is_not_forgotten(world, forgetting):
    await world.clinic(hold=LONG)
    thread = await world.thread()
    sent = await thread.send()
    world.decided_long_ago(sent, AGE + LONG)

    await forgetting.run()

    assert world.outcome(sent) == "HELD"


async def test_a_fact_that_comes_again_after_its_claim_is_forgotten_tells_nobody_again(world):
    thread = await world.thread()
    sent = await thread.send()
    await world.dispatch_due()
    world.forget_claims()

    await world.take(sent.event)
    await world.dispatch_due()

    assert len(world.mails(thread.profile_id)) == 1
    assert world.told(sent) == 1


async def test_a_fact_of_a_message_older_than_the_ledger_tells_nobody(world):
    thread = await world.thread()
    ancient = thread.message(at=datetime.now(UTC) - LEDGER_KEPT - LONG)
    late = thread.message(at=datetime.now(UTC) - LEDGER_KEPT + LONG)

    await world.take(ancient.event, late.event, replace(ancient.event, event_id=uuid4()))

    assert world.rows(ancient, channel=None) == []
    assert world.outcome(late) == "HELD"
