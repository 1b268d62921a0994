"""Parts of the suite are killed while people write, read, merge and leave.

Each trial runs, breaks, heals, has to converge within a minute, and is then checked against what
the clients were told. All trials share one stack and one history, which grows.
"""

import asyncio
import os
import random
import shutil
import time

import pytest

from deploy.local.ports import SERVICES
from tests.faults import checks
from tests.faults.streams import check_streams, undelivered
from tests.faults.traffic import NAME, TEXT, populate
from tests.support.eventually import eventually
from tests.support.leaks import places_of_names, places_of_text
from tests.support.stack import mailbox_of
from tests.support.suite import suite_of

SEED = os.environ.get("FAULTS_SEED") or str(random.SystemRandom().randrange(10**9))
# To threads that are always open; those to people who come and go are on top.
SENDS = 300
CONVERGE_SECONDS = 60.0
# The first leaves mails in the hands of a dead worker, whose lease runs out under the others.
VICTIMS = (("notifications", "export"), ("postgres",), ("conversations",), ("directory",))


@pytest.fixture(scope="module")
async def traffic(stack):
    async with suite_of(stack) as suite:
        yield await populate(suite, clinics=2)


@pytest.fixture
async def trial(stack, traffic, request):
    yield Trial(stack, traffic, request.node.name)
    # What a failed trial left down would fail the others too.
    for part in ("postgres", "nats", *SERVICES):
        try:
            stack.pid(part)
        except ProcessLookupError:
            await stack.start(part)


class Trial:
    """One run - fault - heal - converge - check."""

    def __init__(self, stack, traffic, name):
        self.stack = stack
        self.traffic = traffic
        self.name = name
        self.rng = random.Random(f"{SEED} {name}")
        self.before = len(traffic.book.acked)
        print(f"FAULTS_SEED={SEED}")

    def flowing(self):
        return self.traffic.flowing(sends=SENDS, rng=self.rng)

    async def reach_any_moment(self):
        """Some time under way, with sends in flight."""
        await self.traffic.acked(self.rng.randint(80, 160))
        assert self.traffic.in_flight > 0

    async def settle(self):
        """Wait until all has had its effect, and say how long that took."""
        began = time.monotonic()
        async with asyncio.timeout(2 * CONVERGE_SECONDS):
            await eventually(lambda: checks.converged(self.stack), within=CONVERGE_SECONDS)
        print(f"{self.name}: {self._acked()} sends, converged in {time.monotonic() - began:.1f} s")

    async def check(self):
        traffic, stack = self.traffic, self.stack
        assert self._acked() >= 300
        assert list(traffic.book.taken_on_stale_facts()) == []
        for thread in traffic.threads:
            await checks.check_reading(traffic, thread, thread.senders)
            for member in set(thread.senders):
                await checks.check_badge(stack, traffic.suite, member)
        checks.check_counts(stack)

    def _acked(self):
        return len(self.traffic.book.acked) - self.before


@pytest.mark.parametrize("victims", VICTIMS, ids=" and ".join)
async def test_a_kill_loses_nothing_that_was_acknowledged(trial, stack, victims):
    async with trial.flowing():
        await trial.reach_any_moment()
        for victim in victims:
            await stack.kill(victim)
        killed = time.monotonic()
        for victim in victims:
            await stack.start(victim)
        print(f"ready {time.monotonic() - killed:.1f} s after the kill")
    print(f"longest silence {trial.traffic.book.longest_silence(killed):.1f} s")

    await trial.settle()
    await trial.check()


async def test_sends_go_on_without_nats_and_all_arrives_after(trial, stack):
    async with trial.flowing():
        await trial.reach_any_moment()
        await stack.kill("nats")
        killed = time.monotonic()
    silence = trial.traffic.book.longest_silence(killed)
    print(f"longest silence {silence:.1f} s")
    assert silence < 3
    await eventually(lambda: _has_passed(killed + 10), within=15)
    await stack.start("nats")

    await trial.settle()
    await trial.check()
    await check_streams(stack, ("directory", "conversations"))


async def _has_passed(moment):
    return time.monotonic() > moment


async def test_what_nats_lost_with_its_store_comes_from_the_outbox(trial, stack):
    async with trial.flowing():
        await trial.reach_any_moment()
        # They are deaf for a moment, so that the store holds what nobody has taken in.
        stack.stop("notifications")
        stack.stop("export")
        try:
            await trial.traffic.acked(50)
            source = "conversations"
            assert await undelivered(stack, source=source, consumer="notifications") > 0
            await stack.kill("nats")
            shutil.rmtree(stack.plan.broker.store)
            await stack.start("nats")
        finally:
            stack.cont("notifications")
            stack.cont("export")

    await trial.settle()
    await trial.check()
    await check_streams(stack, ("directory", "conversations"))


async def test_those_who_came_back_find_everything(trial, traffic):
    for mover in traffic.movers:
        await mover.come_back()

    await trial.settle()

    for mover in traffic.movers:
        thread = mover.thread
        both = [await thread.clinic.sign_in(each.person) for each in (thread.staff, thread.profile)]
        await checks.check_reading(traffic, thread, both)


async def test_each_mail_left_once_and_no_text_or_name_with_it(stack):
    await eventually(lambda: checks.mails_settled(stack), within=90)
    await check_streams(stack)

    checks.check_mails(stack, await mailbox_of(stack).mails())
    assert await places_of_text(stack, [TEXT]) == []
    assert await places_of_names(stack, [NAME]) == []
