"""`make bench-notifications`: the figures of notifications, with their calibration in the same run.

Starts a suite of its own, in which no mail waits, has people write to patients, kills the service
at the edges of its states, and looks at what the sinks got. Prints a table and writes
build/bench-notifications.json. Every ratio is taken inside the run.
"""

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import aiosmtplib
import httpx2

from deploy.local.keys import APPLE_KEY, APPLE_KEY_ID, APPLE_TEAM_ID, APPLE_TOPIC
from deploy.local.stack import Stack
from services.chassis.clock import system_clock
from services.cli.places import find
from services.cli.suite import Suite
from services.notifications.channels.apns import ProviderTokens
from services.notifications.channels.push_credentials import read_apple_key
from tests.load.calibration import raw_commits, resident_kib
from tests.load.client import Job, load, percentile
from tests.load.kills import killer
from tests.load.report import Report
from tests.load.told import (
    Arrivals,
    Patient,
    PushArrivals,
    insert_due,
    patients,
    register_phones,
    settled,
    states,
    waited,
)
from tests.support.eventually import eventually

REPORT = Path("build/bench-notifications.json")
UNLIMITED = {
    "CONVERSATIONS_SEND_RATE_ACTOR": "1e6",
    "CONVERSATIONS_SEND_BURST_ACTOR": "1e6",
    "CONVERSATIONS_SEND_RATE_CLINIC": "1e6",
}
# As many as the service opens to one mail server.
_CONNECTIONS = 16
# As many as the service has under way with one push service.
_STREAMS = 8


@dataclass(frozen=True, slots=True)
class Scale:
    """How much; the defaults are the figures' own."""

    clinics: int = 5
    patients_each: int = 200
    seconds: float = 30.0
    mails_each: int = 3
    facts: int = 30_000
    rounds: int = 3
    kills: int = 200


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: the stack, who calls it, who is told, and what their mailbox got."""

    stack: Stack
    suite: Suite
    scale: Scale
    report: Report
    told: Sequence[Patient]
    arrivals: Arrivals

    async def send(self, *, seconds: float, in_flight: int, rate: float = 0.0) -> dict[str, float]:
        """People write to every patient in turn; when each send was answered."""
        places = [(patient.sender.token, patient.conversation_id) for patient in self.told]
        target = self.stack.address("conversations")
        measured = await load(Job([target], "send", in_flight, seconds, places, rate=rate))
        assert not measured.errors, measured.errors
        return measured.returned

    async def settle(self, *, within: float = 120.0) -> None:
        await eventually(partial(settled, self.stack), within=within)


async def latency(bench: Bench) -> None:
    """SendMessage answered to mail accepted, at 50 messages a second."""
    before = bench.arrivals.count()
    returned = await bench.send(seconds=bench.scale.seconds, in_flight=16, rate=50.0)
    await bench.settle()
    address_of = {patient.conversation_id: patient.address for patient in bench.told}
    sent: dict[str, list[float]] = {}
    for place, at in returned.items():
        sent.setdefault(address_of[place.partition("/")[0]], []).append(at)
    came = bench.arrivals.by_address(bench.arrivals.names()[before:])
    late = [
        max(arrived - at, 0.0) * 1e3
        for address, times in sent.items()
        for at, arrived in zip(sorted(times), came.get(address, []), strict=False)
    ]
    bench.report.add("send_to_mail_lost", len(returned) - len(late), "mails", "0")
    bench.report.add("send_to_mail_p50_ms", percentile(late, 0.5), "ms", "<= 150")
    bench.report.add("send_to_mail_p99_ms", percentile(late, 0.99), "ms", "<= 1000")


async def bare_mails(bench: Bench, count: int, *, connections: int) -> float:
    """Mails a second of a bare loop, or of some at once, each over a connection that it keeps."""
    host, _, port = bench.stack.plan.ports.address("mailbox-smtp").partition(":")
    mail = bench.arrivals.raw(bench.arrivals.names()[0])
    left = iter(range(count))

    async def loop() -> None:
        async with aiosmtplib.SMTP(hostname=host, port=int(port), use_tls=False) as client:
            for _ in left:
                await client.sendmail("messages@clinic.test", "bare@mail.test", mail)

    began = time.perf_counter()
    await asyncio.gather(*(loop() for _ in range(connections)))
    return count / (time.perf_counter() - began)


async def our_mails(bench: Bench) -> float:
    """Mails a second of one process that has as many due at once."""
    before = bench.arrivals.count()
    began = time.time()
    count = insert_due(bench.stack, bench.told, channel="EMAIL", each=bench.scale.mails_each)
    await waited(partial(_have_come, bench, before + count), within=300)
    return count / (bench.arrivals.times(bench.arrivals.names())[-1] - began)


def _have_come(bench: Bench, count: int) -> bool:
    return bench.arrivals.count() >= count


async def mails(bench: Bench) -> None:
    """In turn, so that the machine's moods meet both."""
    count = len(bench.told) * bench.scale.mails_each
    bare, wide, ours = [], [], []
    for _ in range(bench.scale.rounds):
        bare.append(await bare_mails(bench, count, connections=1))
        wide.append(await bare_mails(bench, count, connections=_CONNECTIONS))
        ours.append(await our_mails(bench))
        await bench.settle()
    bench.report.add("bare_mails_per_s", median(bare), "per s")
    bench.report.add(f"bare_mails_{_CONNECTIONS}_per_s", median(wide), "per s")
    bench.report.add("mails_per_s", median(ours), "per s")
    bench.report.add("mail_vs_bare_ratio", median(ours) / median(bare), "ratio", ">= 0.35")


async def drain(bench: Bench) -> None:
    """Facts pile up while the service is down; from its start to the last decision."""
    wanted, held = bench.scale.facts, states(bench.stack).total()
    await bench.stack.term("notifications")
    piled = 0
    while piled < wanted:
        piled += len(await bench.send(seconds=10.0, in_flight=64))
    began = time.perf_counter()
    await bench.stack.start("notifications")
    pid = bench.stack.pid("notifications")
    await waited(partial(_decided, bench, held + piled // 10), within=600)
    early = resident_kib(pid)
    await waited(partial(_decided, bench, held + piled), within=600)
    seconds = time.perf_counter() - began
    late = resident_kib(pid)
    await bench.settle(within=600)
    bench.report.add("drain_facts", piled, "facts")
    bench.report.add("drain_30k_s", seconds * 30_000 / piled, "s", "<= 120")
    bench.report.add("drain_rss_slope", late / early, "ratio", "<= 1.2")
    bench.report.add("rss_mib", late / 1024, "MiB")


def _decided(bench: Bench, count: int) -> bool:
    return states(bench.stack).total() >= count


async def bare_pushes(bench: Bench, count: int, *, streams: int) -> float:
    """Pushes a second of a bare loop, or of some at once, over one HTTP/2 connection."""
    key = read_apple_key(
        bench.stack.keys / APPLE_KEY,
        key_id=APPLE_KEY_ID,
        team_id=APPLE_TEAM_ID,
        topic=APPLE_TOPIC,
    )
    headers = {
        "authorization": f"bearer {ProviderTokens(key, clock=system_clock).get()}",
        "apns-topic": APPLE_TOPIC,
        "apns-push-type": "alert",
    }
    _, content = PushArrivals(bench.stack).last()
    url = f"{bench.stack.plan.push_services}/3/device/{bench.told[0].id.hex}"
    left = iter(range(count))
    async with httpx2.AsyncClient(http1=False, http2=True) as client:

        async def loop() -> None:
            for _ in left:
                answer = await client.post(url, headers=headers, content=content)
                assert answer.status_code == 200, answer.content

        began = time.perf_counter()
        await asyncio.gather(*(loop() for _ in range(streams)))
        return count / (time.perf_counter() - began)


async def our_pushes(bench: Bench) -> float:
    """Pushes a second of one process that has as many due at once."""
    arrivals = PushArrivals(bench.stack)
    before, began = arrivals.count(), time.time()
    each = bench.scale.mails_each
    count = insert_due(bench.stack, bench.told, channel="PUSH", each=each)
    await waited(lambda: arrivals.count() >= before + count, within=300)
    at, _ = arrivals.last()
    await eventually(partial(settled, bench.stack, channel="PUSH"), within=60)
    return count / (at - began)


async def pushes(bench: Bench) -> None:
    await register_phones(bench.suite, bench.told)
    count = len(bench.told) * bench.scale.mails_each
    await our_pushes(bench)
    bare, wide, ours = [], [], []
    for _ in range(bench.scale.rounds):
        bare.append(await bare_pushes(bench, count, streams=1))
        wide.append(await bare_pushes(bench, count, streams=_STREAMS))
        ours.append(await our_pushes(bench))
    bench.report.add("bare_pushes_per_s", median(bare), "per s")
    bench.report.add(f"bare_pushes_{_STREAMS}_per_s", median(wide), "per s")
    bench.report.add("pushes_per_s", median(ours), "per s")
    bench.report.add("push_vs_bare_ratio", median(ours) / median(bare), "ratio", ">= 0.35")


async def kills(scale: Scale, report: Report) -> None:
    """On a suite of its own: lost and doubled mails."""
    async with killer("bench") as killing:
        found = await killing.run(scale.kills)
    print(found)
    report.add("kills", found.kills.total(), "kills")
    report.add("lost", found.lost, "messages", "0")
    report.add("duplicated_in_window", found.in_window, "mails")
    report.add("duplicated_outside_window", found.outside_window, "mails", "0")


async def run(bench: Bench) -> None:
    bench.report.add("load_at_start", os.getloadavg()[0], "processes")
    commits = raw_commits(bench.stack, "notifications", 3.0)
    bench.report.add("raw_commit_p50_ms", percentile(commits, 0.5), "ms")
    await bench.send(seconds=2.0, in_flight=4, rate=20.0)
    await bench.settle()
    await latency(bench)
    await mails(bench)
    await drain(bench)
    await pushes(bench)
    bench.report.add("load_at_end", os.getloadavg()[0], "processes")


@asynccontextmanager
async def benched(scale: Scale) -> AsyncIterator[Bench]:
    services = ("directory", "conversations", "notifications")
    async with Stack.throwaway(overrides=UNLIMITED, services=services) as stack:
        suite = Suite(find({"LOCAL_STATE": str(stack.plan.state.directory)}))
        try:
            told = await patients(suite, clinics=scale.clinics, each=scale.patients_each)
            yield Bench(stack, suite, scale, Report(REPORT), told, Arrivals(stack))
        finally:
            await suite.close()


async def main(scale: Scale) -> None:
    async with benched(scale) as bench:
        await run(bench)
    await kills(scale, bench.report)
    bench.report.write()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The figures of notifications.")
    parser.add_argument("--quick", action="store_true", help="a tenth of it, for a look")
    quick = Scale(2, 50, 6.0, 5, 3_000, 1, 6)
    asyncio.run(main(quick if parser.parse_args().quick else Scale()))
