"""Notifications is killed at each edge of its states, once (P4); `make kills` does it 200 times."""

import os
import random

from tests.load.kills import EDGES, killer

SEED = os.environ.get("FAULTS_SEED") or str(random.SystemRandom().randrange(10**9))


async def test_no_kill_loses_a_mail_or_doubles_one_outside_the_one_window():
    print(f"FAULTS_SEED={SEED}")
    async with killer(SEED) as killing:
        found = await killing.run(len(EDGES))
    print(found)

    assert (found.lost, found.outside_window) == (0, 0)
