"""Every RPC with broken bytes and with nonsense, by those who may call it and by others.

FUZZ_CASES makes longer runs, FUZZ_SEED brings one back.
"""

import asyncio
import os
from random import Random

import pytest

from services.chassis.limits import INTERNAL_REQUEST_BYTES
from tests.fuzz.garbage import BREAKERS, ECHO, Words
from tests.fuzz.verdict import complaints
from tests.fuzz.victims import callers_of
from tests.support.rpcs import call, rpc, rpcs
from tests.support.two_clinics import Person

pytestmark = [pytest.mark.xdist_group("two clinics"), pytest.mark.timeout(3_600)]

CASES = int(os.environ.get("FUZZ_CASES", "12"))
SEED = os.environ.get("FUZZ_SEED", "1")
_AT_ONCE = 6
_NAMES = [each.name for each in rpcs()]


async def fuzzed(victim, name, requests):
    """What is wrong with the answers; `requests` are (caller, bytes or parts)."""
    asked, places = rpc(name), asyncio.Semaphore(_AT_ONCE)
    door = victim.clinics.suite.door(asked.service, public=asked.public)
    found: list[str] = []

    async def ask(label, caller, sent):
        async with places:
            answer = await call(door, asked, sent, metadata=caller.metadata)
        bytes_sent = sent if isinstance(sent, bytes) else b"".join(sent)
        hidden = victim.hidden(bytes_sent)
        if isinstance(caller, Person):
            hidden += victim.hidden_ids(bytes_sent)
        if answer.reason:
            hidden.append(ECHO)
        found.extend(
            f"{label} by {getattr(caller, 'name', caller)}: {complaint}: {sent[:200]!r}"
            for complaint in complaints(answer, asked, hidden=hidden)
        )

    await asyncio.gather(*(ask(*each) for each in requests))
    return found


@pytest.mark.parametrize("name", _NAMES)
async def test_broken_bytes_are_refused_in_our_own_words(victim, name):
    random, asked = Random(f"{SEED} bytes {name}"), rpc(name)
    people = await victim.people()
    valid = await victim.valid(asked, callers_of(asked, people, random))
    requests = []
    for n in range(CASES):
        breaker = BREAKERS[n % len(BREAKERS)]
        caller, parts = callers_of(asked, people, random), list(valid)
        at = random.randrange(len(parts))
        parts[at] = breaker(random, parts[at])
        requests.append((breaker.__name__, caller, parts if len(parts) > 1 else parts[0]))

    assert await fuzzed(victim, name, requests) == []


@pytest.mark.parametrize("name", _NAMES)
async def test_nonsense_is_refused_or_harmless(victim, name):
    random, asked = Random(f"{SEED} words {name}"), rpc(name)
    people = await victim.people()
    words = Words(random, victim.ids(), victim.tokens)
    requests = []
    for n in range(CASES):
        caller = callers_of(asked, people, random)
        parts = [
            words.fill(
                asked.request(), spare=random.choice((0.0, 0.5, 0.9, 0.9))
            ).SerializeToString()
            for _ in range(3 if asked.descriptor.client_streaming else 1)
        ]
        sent = parts if len(parts) > 1 else parts[0]
        if sum(map(len, parts)) < INTERNAL_REQUEST_BYTES:
            requests.append((f"nonsense {n}", caller, sent))

    assert await fuzzed(victim, name, requests) == []
