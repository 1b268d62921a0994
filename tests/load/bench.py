"""`make bench`: the figures of conversations, with their calibration in the same run.

Starts a suite of its own with two processes of conversations, fills it with 1,000,000 messages in
20,000 threads of 50 clinics, makes load from other processes, prints a table and writes
build/bench.json. Every ratio is taken inside the run, of two figures measured next to each other:
the machine is shared by everything, and is not as fast at one minute as at another.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import nats
import psycopg

from deploy.local.stack import Stack
from tests.load.calibration import null_rate, raw_commits, resident_kib
from tests.load.client import Job, Measured, load, percentile
from tests.load.report import Report
from tests.load.seed import Seeder, Thread, departure
from tests.load.watchers import Watchers, Watching
from tests.support.eventually import eventually

REPORT = Path("build/bench.json")
SERVICES = ("conversations", "notifications")
UNLIMITED = {
    "CONVERSATIONS_SEND_RATE_ACTOR": "1e6",
    "CONVERSATIONS_SEND_BURST_ACTOR": "1e6",
    "CONVERSATIONS_SEND_RATE_CLINIC": "1e6",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much; the defaults are the figures' own."""

    clinics: int = 50
    threads_each: int = 400
    messages_each: int = 50
    inbox: int = 2_000
    departing: int = 10_000
    seconds: float = 6.0
    sustained: float = 60.0
    rounds: int = 3


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: the stack, its second process, and what was put into it."""

    stack: Stack
    second: str
    seeder: Seeder
    scale: Scale
    report: Report

    @property
    def targets(self) -> list[str]:
        return [self.stack.address("conversations"), self.stack.address(self.second)]

    def places(self, threads: Sequence[Thread]) -> list[tuple[str, str]]:
        return [(self.seeder.token(thread.staff), str(thread.id)) for thread in threads]

    async def measure(
        self, kind: str, threads: Sequence[Thread], *, in_flight: int, one: bool = False
    ) -> Measured:
        targets = self.targets[:1] if one else self.targets
        places = self.places(threads)
        return await load(Job(targets, kind, in_flight, self.scale.seconds, places))


async def acked_publishes(stack: Stack, seconds: float) -> float:
    """JetStream publishes a second, each acknowledged, one after the other."""
    client = await nats.connect(stack.nats_url())
    jetstream = client.jetstream()
    await jetstream.add_stream(name="BENCH", subjects=["bench.>"])
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        await jetstream.publish("bench.x", b"x" * 300)
        count += 1
    await jetstream.delete_stream("BENCH")
    await client.close()
    return count / seconds


async def null_rates(seconds: float, *, rounds: int) -> tuple[float, float]:
    """Null calls a second of a bare server and of ours, in turns; the median of each."""
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(rounds):
        for build, measured in rates.items():
            measured.append((await null_rate(build, 16, seconds / 2, 1)).rate)
    return median(rates["bare"]), median(rates["ours"])


async def settled(bench: Bench) -> None:
    """Until all that was sent has been told, and notifications has decided on it and told that."""
    client = await nats.connect(bench.stack.nats_url())
    jetstream = client.jetstream()

    async def nothing_waits() -> bool:
        consumer = await jetstream.consumer_info("CONVERSATIONS", "notifications-conversations")
        pending = (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)
        return pending + sum(_unpublished(bench.stack, service) for service in SERVICES) == 0

    await eventually(nothing_waits, within=300)
    await client.close()


def clean_up(stack: Stack) -> None:
    """What a database does some time after a million rows have come at once, done now."""
    for service in SERVICES:
        with psycopg.connect(stack.superuser_url(service), autocommit=True) as connection:
            connection.execute("vacuum (analyze)")
            connection.execute("checkpoint")


async def calibrate(bench: Bench) -> None:
    """What is printed beside the figures, and is no part of one."""
    bare, ours = await null_rates(bench.scale.seconds, rounds=bench.scale.rounds)
    bench.report.add("null_vs_bare_ratio", ours / bare, "ratio", ">= 0.6")
    publishes = await acked_publishes(bench.stack, 3.0)
    bench.report.add("acked_publishes_per_s", publishes, "per s")


@dataclass(frozen=True, slots=True)
class Rates:
    """Calls a second with 64 in flight and two processes, and sends over null calls: medians."""

    null: float
    send: float
    ratio: float


async def send_rates(bench: Bench, threads: Sequence[Thread]) -> Rates:
    """Null calls and sends in turns."""
    nulls, sends = [], []
    for _ in range(bench.scale.rounds):
        await settled(bench)
        nulls.append((await null_rate("ours", 64, bench.scale.seconds, 2)).rate)
        measured = await bench.measure("send", threads, in_flight=64)
        assert not measured.errors, measured.errors
        sends.append(measured.rate)
    ratios = [send / null for send, null in zip(sends, nulls, strict=True)]
    return Rates(median(nulls), median(sends), median(ratios))


async def null_p50(bench: Bench) -> float:
    """Milliseconds of a null call, 1 in flight, at this moment."""
    return (await null_rate("ours", 1, bench.scale.seconds / 2, 1)).at(0.5)


async def lone_p50(bench: Bench, kind: str, threads: Sequence[Thread]) -> float:
    """Milliseconds of a call of one process, 1 in flight, at this moment."""
    return (await bench.measure(kind, threads, in_flight=1, one=True)).at(0.5)


async def lone_sends(bench: Bench, threads: Sequence[Thread]) -> None:
    """One send at a time, over what three null calls and a commit take; in turns, the medians."""
    nulls, commits, sends = [], [], []
    for _ in range(bench.scale.rounds):
        nulls.append(await null_p50(bench))
        commits.append(percentile(raw_commits(bench.stack, "conversations", 2.0), 0.5))
        sends.append(await lone_p50(bench, "send", threads[:100]))
    null, commit = median(nulls), median(commits)
    add = bench.report.add
    add("null_p50_ms_1", null, "ms")
    add("raw_commit_p50_ms", commit, "ms")
    add("send_p50_ms_1", median(sends), "ms", f"<= {3 * null + commit:.2f}")


async def sustained(bench: Bench, threads: Sequence[Thread]) -> None:
    """Sends held for a minute with 50 watches open; the backlog of events at the end."""
    watched = [bench.seeder.token(thread.profile) for thread in threads[:50]]
    watchers = await Watchers.open(Watching(bench.targets[0], watched))
    job = Job(bench.targets, "send", 64, bench.scale.sustained, bench.places(threads))
    measured = await load(job)
    waiting = _unpublished(bench.stack, "conversations")
    await watchers.seen()
    bench.report.add("send_sustained_per_s", measured.rate, "per s", ">= 400")
    bench.report.add("send_sustained_p99_ms", measured.at(0.99), "ms")
    bench.report.add("events_waiting_at_end", waiting, "events")


def _unpublished(stack: Stack, service: str) -> int:
    with psycopg.connect(stack.superuser_url(service)) as connection:
        row = connection.execute(
            "select last_position - published_position"
            " + (select count(*) from outbox where position is null) from outbox_head"
        ).fetchone()
    assert row is not None
    return int(row[0])


async def live(bench: Bench, threads: Sequence[Thread]) -> None:
    """Send begun to event on the other side's stream; 100 sends a second, 200 watches."""
    watched = [bench.seeder.token(thread.profile) for thread in threads[:200]]
    watchers = await Watchers.open(Watching(bench.targets[0], watched))
    places = bench.places(threads[:200])
    job = Job(bench.targets, "send", 32, bench.scale.seconds * 2, places, rate=100.0)
    measured = await load(job)
    await asyncio.sleep(1)
    seen = await watchers.seen()
    late = [
        (seen.arrivals[key] - begun) * 1e3
        for key, begun in measured.begun.items()
        if key in seen.arrivals
    ]
    bench.report.add("watch_missed", len(measured.begun) - len(late), "messages")
    bench.report.add("watch_p50_ms", percentile(late, 0.5), "ms", "<= 20")
    bench.report.add("watch_p99_ms", percentile(late, 0.99), "ms", "<= 150")


async def idle_watches(bench: Bench, threads: Sequence[Thread]) -> None:
    """Memory of one idle watch, of 1,000."""
    pid = bench.stack.pid(bench.second)
    before = resident_kib(pid)
    tokens = [bench.seeder.token(thread.profile) for thread in threads[:1_000]]
    watchers = await Watchers.open(Watching(bench.stack.address(bench.second), tokens))
    await asyncio.sleep(2)
    grown = resident_kib(pid) - before
    await watchers.seen()
    bench.report.add("watch_kib_each", grown / len(tokens), "KiB", "<= 60")


async def departure_of(bench: Bench, leaving: Sequence[Thread], others: Sequence[Thread]) -> None:
    """Deactivation to the last of the threads archived, while others send; and back."""
    sending = asyncio.create_task(
        load(Job(bench.targets, "send", 8, 25.0, bench.places(others), rate=100.0))
    )
    await asyncio.sleep(2)
    for name, gone in (("archive_10k_s", True), ("restore_10k_s", False)):
        began = time.perf_counter()
        await bench.seeder.apply(leaving[0].staff.clinic_id, [departure(leaving[0].staff, gone)])
        await eventually(partial(_all_archived, bench.stack, leaving, gone=gone), within=60)
        bench.report.add(name, time.perf_counter() - began, "s", "<= 10")
    measured = await sending
    bench.report.add("send_while_archiving_p99_ms", measured.at(0.99), "ms")


async def _all_archived(stack: Stack, threads: Sequence[Thread], *, gone: bool) -> bool:
    staff = threads[0].staff
    with psycopg.connect(stack.superuser_url("conversations")) as connection:
        row = connection.execute(
            "select count(*) from conversations where clinic_id = %s and staff_id = %s"
            " and reasons <> '{}'",
            [staff.clinic_id, staff.id],
        ).fetchone()
    assert row is not None
    return int(row[0]) == (len(threads) if gone else 0)


async def lists(bench: Bench, big: Sequence[Thread], small: list[Thread]) -> None:
    """Pages of 50 at 1 in flight, with everything stored, over the null call; in turns."""
    await settled(bench)
    took: dict[str, list[float]] = {"null": [], "messages": [], "inbox": [], "few": []}
    for _ in range(bench.scale.rounds):
        took["null"].append(await null_p50(bench))
        took["messages"].append(await lone_p50(bench, "list_messages", big))
        took["inbox"].append(await lone_p50(bench, "list_conversations", big[:1]))
        took["few"].append(await lone_p50(bench, "list_conversations", small[:1]))
    null, messages, inbox, few = map(median, took.values())
    add = bench.report.add
    add("list_messages_vs_null", messages / null, "ratio", "<= 6")
    add("list_conversations_vs_null", inbox / null, "ratio", "<= 6")
    add("list_full_vs_small_ratio", inbox / few, "ratio", "<= 1.3")


async def run(bench: Bench) -> None:
    scale, seeder, add = bench.scale, bench.seeder, bench.report.add
    await calibrate(bench)

    first = await seeder.people(5, 4, 40)
    await seeder.messages(first, 0)
    empty = await send_rates(bench, first)
    await settled(bench)

    threads = await seeder.people(scale.clinics - 3, 8, scale.threads_each)
    big = await seeder.people(1, 1, scale.inbox)
    small = await seeder.people(1, 1, 50)
    leaving = await seeder.people(1, 1, scale.departing)
    await seeder.messages([*threads, *big, *small], scale.messages_each)
    await seeder.messages(leaving, 1)
    clean_up(bench.stack)

    full = await send_rates(bench, threads)
    add("null_per_s_64_x2", full.null, "per s")
    add("send_per_s_64", full.send, "per s")
    add("send_vs_null_ratio", full.ratio, "ratio", ">= 0.40")
    add("send_full_vs_empty_ratio", full.ratio / empty.ratio, "ratio", ">= 0.90")
    await settled(bench)
    await lone_sends(bench, threads)
    await lists(bench, big, small)
    await live(bench, threads)
    await idle_watches(bench, threads)
    await sustained(bench, threads)
    await settled(bench)
    await departure_of(bench, leaving, threads[:100])
    rss = max(resident_kib(bench.stack.pid(name)) for name in ("conversations", bench.second))
    add("rss_mib", rss / 1024, "MiB", "<= 150")
    bench.report.write()


@asynccontextmanager
async def benched(scale: Scale) -> AsyncIterator[Bench]:
    async with Stack.throwaway(overrides=UNLIMITED, services=SERVICES) as stack:
        second = await stack.copy("conversations")
        yield Bench(stack, second, Seeder(stack), scale, Report(REPORT))


async def main(scale: Scale) -> None:
    async with benched(scale) as bench:
        await run(bench)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The figures of conversations.")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the data, for a look")
    quick = Scale(5, 40, 50, 200, 1_000, 2.0, 10.0, 1)
    asyncio.run(main(quick if parser.parse_args().quick else Scale()))
