"""Calls that are broken around their request: tokens, metadata, deadlines, frames, cancels
(P15, P17).

FUZZ_CASES makes longer runs.
"""

import asyncio
import base64
import json
import os
from random import Random

import grpc
import pytest

from tests.fuzz import http2
from tests.fuzz.http2 import headers_of, message
from tests.fuzz.verdict import complaints
from tests.support.grpc_world import bearer, signed
from tests.support.rpcs import call, rpc, rpcs

pytestmark = [pytest.mark.xdist_group("two clinics"), pytest.mark.timeout(3_600)]

CASES = int(os.environ.get("FUZZ_CASES", "12"))
SEED = os.environ.get("FUZZ_SEED", "1")
INBOX = "conversations.ListConversations"
_HIDDEN = ("nearword", "farword", "Traceback", "Exception", "psycopg")


# What polls is in a transaction now and then, and never for long.
_FORGOTTEN = """
    select count(*) from pg_stat_activity
    where state like 'idle in transaction%%' and state_change < clock_timestamp() - interval '2 s'
"""


async def asked(victim, name, metadata, *, request=b"", seconds=10):
    each = rpc(name)
    door = victim.clinics.suite.door(each.service, public=each.public)
    return await call(door, each, request, metadata=metadata, seconds=seconds)


def broken_tokens(random, token):
    head, claims, signature = token.split(".")

    def part(content):
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    at = random.randrange(len(signature) - 1)
    other = "A" if signature[at] != "A" else "B"
    yield f"{head}.{claims}.{signature[:at]}{other}{signature[at + 1 :]}"
    yield f"{head}.{claims}."
    yield f"{head}.{claims}"
    yield f"{head}.{part({'acting': 'staff:x'})}.{signature}"
    yield f"{part({'alg': 'none', 'kid': 'issuer-1'})}.{claims}."
    yield f"{part({'alg': 'EdDSA'})}.{claims}.{signature}"
    yield f"{part({'alg': 'EdDSA', 'kid': ['issuer-1']})}.{claims}.{signature}"
    yield f"{part({'alg': 'EdDSA', 'kid': {'a': 1}})}.{claims}.{signature}"
    yield f"{part([1, 2])}.{claims}.{signature}"
    yield f"{part({'alg': 'EdDSA', 'kid': 'ops:support'})}.{claims}.{signature}"
    yield "." * random.randint(1, 9)
    yield "A" * 4_097
    yield random.randbytes(40).hex()
    yield "null"


async def test_a_token_that_is_not_whole_proves_nobody(victim):
    random, people = Random(f"{SEED} tokens"), await victim.people()
    token = dict(people["staff"].metadata)["authorization"].removeprefix("Bearer ")
    for broken in broken_tokens(random, token):
        answer = await asked(victim, INBOX, bearer(broken))
        assert (answer.code, answer.reason) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "UNAUTHENTICATED",
        ), broken


@pytest.mark.parametrize(
    "claims",
    [
        {"acting": "staff:"},
        {"acting": "owner:1"},
        {"acting": 7},
        {"acting": "service:export"},
        {"acting": "ops:support"},
        {"clinic_id": "x"},
        {"clinic_id": None},
        {"sid": "x"},
        {"sid": ["a"]},
        {"sub": ""},
        {"exp": "soon"},
        {"exp": 1e400},
        {"exp": -1},
        {"exp": 10**30},
        {"iat": True},
        {"nbf": {}},
        {"aud": None},
        {"aud": 5},
        {"iss": ["https://sign-in.test"]},
    ],
    ids=str,
)
async def test_a_token_signed_well_with_nonsense_in_it_proves_nobody(victim, claims):
    keys = victim.clinics.suite.keys
    whole = keys.person_claims() | claims
    token = signed({k: v for k, v in whole.items() if v is not None}, keys.ed25519)

    answer = await asked(victim, INBOX, bearer(token))

    assert answer.code is grpc.StatusCode.UNAUTHENTICATED
    assert complaints(answer, rpc(INBOX), hidden=_HIDDEN) == []


async def test_a_persons_clinic_id_means_nothing(victim):
    people, far = await victim.people(), victim.clinics.far
    metadata = (*people["staff"].metadata, ("clinic-id", far.id))

    answer = await asked(victim, "directory.GetClinic", metadata)

    assert victim.clinic.id.encode() in answer.everything
    assert far.id.encode() not in answer.everything


@pytest.mark.parametrize("clinic", ["x", "{}", "0" * 36, "%00", "*", "null", "a" * 300])
async def test_a_machine_names_a_clinic_or_none(victim, clinic):
    token = victim.clinics.suite.keys.machine("service:notifications")

    answer = await asked(
        victim, "conversations.internal.BatchGetUnread", bearer(token, clinic_id=clinic)
    )

    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CLINIC_REQUIRED")


async def test_other_metadata_are_neither_believed_nor_told_back(victim):
    people = await victim.people()
    strange = (
        ("x-request-id", "echoword"),
        ("x-request-id", "' or 1=1"),
        ("traceparent", "00-echoword-x-99"),
        ("traceparent", "0" * 3_000),
        ("x-forwarded-for", "127.0.0.1"),
        ("grpc-status", "0"),
        ("grpc-status-details-bin", b"\xff\x00"),
        ("x-bin", bytes(range(256))),
        ("clinic-id-bin", b"\x00"),
        ("authorization-bin", b"Bearer x"),
    )
    for pair in strange:
        answer = await asked(victim, INBOX, (*people["staff"].metadata, pair))
        assert complaints(answer, rpc(INBOX), hidden=(*_HIDDEN, "echoword")) == [], pair


async def test_much_metadata_are_turned_away(victim):
    people = await victim.people()
    answer = await asked(victim, INBOX, (*people["staff"].metadata, ("x-much", "a" * 16_384)))

    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("each", rpcs(), ids=lambda each: each.name)
async def test_an_rpc_is_served_at_its_own_door_only(victim, each):
    """What is internal cannot be reached where the gateway is, whoever asks."""
    people = await victim.people()
    door = victim.clinics.suite.door(each.service, public=not each.public)
    for caller in ("staff", "ops:support"):
        answer = await call(door, each, b"", metadata=people[caller].metadata)
        assert answer.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("given", ["0n", "1n", "00000000n", "1u", "99999999H", "-1S", "x", "1", ""])
async def test_any_deadline_ends_in_our_own_words(victim, given):
    reply = await raw(victim, INBOX, (b"grpc-timeout", given.encode()))

    assert reply.ended in ("ended", "reset", "goaway", "closed")
    assert not any(word.encode() in reply.received for word in _HIDDEN)


_FRAMES = {
    "no content type": ((b"content-type", b"text/html"),),
    "another encoding": ((b"grpc-encoding", b"nonsense"),),
    "a get": ((b":method", b"GET"),),
    "no path": ((b":path", b"nonsense"),),
    "a path of everything": ((b":path", b"/" + bytes(range(33, 127)) * 20),),
    "a line break in a value": ((b"x-broken", b"a\r\nauthorization: Bearer x"),),
    "nul in a value": ((b"x-broken", b"a\x00b"),),
    "a name in capitals": ((b"X-Broken", b"a"),),
    "a name with a space": ((b"x broken", b"a"),),
    "bytes that are no text": ((b"clinic-id", b"\xff\xfe\x80"),),
    "bytes that are no base64": ((b"x-broken-bin", b"\xff*!"),),
    "a token of bytes": ((b"authorization", b"Bearer \xff\xfe"),),
    "two tokens": ((b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")),
}
_BODIES = {
    "nothing": b"",
    "half a prefix": b"\x00\x00",
    "less than promised": message(b"abc", length=100),
    "more than promised": message(b"abc", length=1),
    "four gigabytes promised": message(b"abc", length=2**32 - 1),
    "compressed with nothing": message(b"abc", flag=1),
    "a flag of no meaning": message(b"abc", flag=0xFF),
    "two messages": message(b"") * 2,
    "much": message(b"x" * 70_000),
}


@pytest.mark.parametrize("headers", _FRAMES.values(), ids=_FRAMES)
async def test_broken_headers_reach_nothing(victim, headers):
    reply = await raw(victim, INBOX, *headers)

    assert not any(word.encode() in reply.received for word in _HIDDEN)


@pytest.mark.parametrize("body", _BODIES.values(), ids=_BODIES)
@pytest.mark.parametrize("end", [True, False], ids=["ended", "left open"])
async def test_broken_frames_reach_nothing(victim, body, end):
    reply = await raw(victim, INBOX, body=body, end=end, seconds=1)

    assert not any(word.encode() in reply.received for word in _HIDDEN)


async def test_calls_cancelled_at_any_moment_leave_nothing_behind(victim):
    """No connection stays in a transaction, and a call afterwards is served (P17)."""
    random, people = Random(f"{SEED} cancels"), await victim.people()
    for name in (INBOX, "conversations.WatchInbox", "directory.SearchProfiles"):
        each = rpc(name)
        door = victim.clinics.suite.door(each.service, public=True)
        request = each.request(**({"query": "word"} if "Search" in name else {}))
        for _ in range(CASES):
            method = getattr(door, each.kind)(each.path)
            under_way = method(request.SerializeToString(), metadata=people["staff"].metadata)
            await asyncio.sleep(random.random() * 0.02)
            under_way.cancel()
    await asyncio.sleep(2.5)

    assert (await asked(victim, INBOX, people["staff"].metadata)).code is grpc.StatusCode.OK
    assert victim.clinics.suite.rows("conversations", _FORGOTTEN) == [(0,)]


async def raw(victim, name, *headers, body=None, **how):
    """A call without a library; the caller's own token unless the headers bring another."""
    people, each = await victim.people(), rpc(name)
    port = victim.clinics.suite.ports[each.service if each.public else f"{each.service}-internal"]
    token = dict(people["staff"].metadata)["authorization"].encode()
    given = {header for header, _ in headers}
    own = () if b"authorization" in given else ((b"authorization", token),)
    sent = message(b"") if body is None else body
    return await http2.ask(port, headers_of(each.path, *own, *headers), sent, **how)
