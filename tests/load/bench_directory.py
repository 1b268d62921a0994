"""`make bench-directory`: the figures of the directory, with their calibration in the same run.

Starts a suite of its own, imports 100,000 patients into one clinic beside one of 10,000 and 100
small ones, searches, merges, and fills the replica of conversations anew. Prints a table and
writes build/bench-directory.json. Every ratio is taken inside the run.
"""

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from uuid import UUID

import psycopg

from clinic.directory.v1 import directory_internal_service_pb2 as internal_pb
from clinic.directory.v1 import directory_service_pb2 as pb
from deploy.local.stack import Stack
from services.chassis.ids import uuid7
from services.cli import people
from services.cli.commands.importing import Imported, import_profiles
from services.cli.places import find
from services.cli.sessions import Desk, SignedIn, staff
from services.cli.suite import Suite
from services.messaging_rule import Side
from tests.load import patients
from tests.load.calibration import Memory, null_rate, raw_commits
from tests.load.client import Job, load, percentile
from tests.load.report import Report
from tests.load.seed import Person, Seeder, Thread
from tests.support.eventually import eventually

REPORT = Path("build/bench-directory.json")
Summary = internal_pb.ImportProfilesResponse.Summary
_FILLED_WITHIN = 600.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much; the defaults are the figures' own."""

    large: int = 100_000
    tenth: int = 10_000
    small_clinics: int = 100
    small: int = 100
    merges: int = 30
    threads: int = 100
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Clinic:
    """A clinic and its owner, signed in."""

    id: UUID
    owner: SignedIn


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: the stack, and who calls it."""

    stack: Stack
    suite: Suite
    desk: Desk
    scale: Scale
    report: Report

    async def clinic(self, name: str) -> Clinic:
        made = await people.create_clinic(
            self.suite,
            self.desk.platform(),
            name=name,
            owner="Olga Owner",
            owner_email="olga@harbour.test",
            request_id=str(uuid7()),
        )
        id, owner_id = made.clinic.clinic_id, made.staff_member.staff_id
        owner = await self.desk.sign_in(staff(owner_id), clinic_id=id)
        return Clinic(UUID(id), owner)

    async def take_in(self, clinic: Clinic, chunks: Iterator[bytes]) -> Imported:
        """Import a file as `clinic import` does."""
        header = internal_pb.ImportProfilesRequest.Header(
            format=internal_pb.IMPORT_FORMAT_FHIR_NDJSON,
            source_system="bench",
            request_id=str(uuid7()),
        )
        platform = self.desk.platform(str(clinic.id))
        imported = await import_profiles(self.suite, platform, header=header, chunks=chunks)
        assert not imported.errors, imported.errors[:3]
        return imported

    def rows(self, service: str, query: str, *parameters: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.stack.superuser_url(service), autocommit=True) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def ids(self, table: str, clinic: Clinic, most: int) -> list[UUID]:
        query = f"select id from {table} where clinic_id = %s order by id desc limit %s"
        return [UUID(str(id)) for (id,) in self.rows("directory", query, clinic.id, most)]


async def calibrate(bench: Bench) -> float:
    """The null call's p50 at 1 in flight."""
    alone = await null_rate("ours", 1, bench.scale.seconds, 1)
    commits = raw_commits(bench.stack, "directory", 3.0)
    bench.report.add("null_p50_ms_1", alone.at(0.5), "ms")
    bench.report.add("raw_commit_p50_ms", percentile(commits, 0.5), "ms")
    return alone.at(0.5)


def look_up(bench: Bench, clinic: Clinic) -> None:
    """A profile by its key, without a service."""
    took = []
    ids = bench.ids("profiles", clinic, 1_000)
    with psycopg.connect(bench.stack.superuser_url("directory")) as connection:
        for id in ids * 3:
            began = time.perf_counter()
            connection.execute(
                "select * from profiles where clinic_id = %s and id = %s", [clinic.id, id]
            ).fetchone()
            took.append((time.perf_counter() - began) * 1e3)
    bench.report.add("raw_lookup_p50_ms", percentile(took, 0.5), "ms")


async def import_large(bench: Bench, clinic: Clinic) -> None:
    """All of it new, then all of it known; the memory of the service meanwhile."""
    count, add = bench.scale.large, bench.report.add
    memory = Memory(bench.stack.pid("directory"))
    async with memory.watched():
        seconds, done = await timed_import(bench, clinic)
        assert done.created == count, done
        add("import_per_s", count / seconds, "per s", ">= 1500")
        began = time.perf_counter()
        await replica_filled(bench)
        add("import_told_after_s", time.perf_counter() - began, "s")
        seconds, done = await timed_import(bench, clinic)
        assert done.unchanged == count, done
        add("reimport_per_s", count / seconds, "per s", ">= 3000")
    add("import_rss_mib", memory.most_kib / 1024, "MiB", "<= 200")


async def timed_import(bench: Bench, clinic: Clinic) -> tuple[float, Summary]:
    """In seconds; each time the same file."""
    chunks = patients.file(range(bench.scale.large))
    began = time.perf_counter()
    imported = await bench.take_in(clinic, chunks)
    return time.perf_counter() - began, imported.summary


async def replica_filled(bench: Bench) -> None:
    """Until conversations holds every profile."""
    [(wanted,)] = bench.rows("directory", "select count(*) from profiles")
    deadline = time.perf_counter() + _FILLED_WITHIN
    while bench.rows("conversations", "select count(*) from replica_profiles") != [(wanted,)]:
        assert time.perf_counter() < deadline, "the replica lags for ever"
        await asyncio.sleep(0.25)


async def search(bench: Bench, null_p50: float, large: Clinic, tenth: Clinic) -> None:
    """One after the other, as somebody types; the same queries in both clinics."""
    queries = patients.queries(500)
    measured = {}
    for clinic in (large, tenth):
        places = [(clinic.owner.token, query) for query in queries]
        target = bench.stack.address("directory")
        found = await load(Job([target], "search", 1, bench.scale.seconds, places))
        assert not found.errors, found.errors
        measured[clinic.id] = found
    many, few = measured[large.id], measured[tenth.id]
    add = bench.report.add
    add("search_p50_ms", many.at(0.5), "ms")
    add("search_vs_null", many.at(0.5) / null_p50, "ratio", "<= 10")
    add("search_p99_ms", many.at(0.99), "ms", "<= 60")
    add("search_100k_vs_10k", many.at(0.5) / few.at(0.5), "ratio", "<= 1.5")


async def merges(bench: Bench, clinic: Clinic) -> None:
    """Each of a profile with threads with many staff members, until conversations confirmed it."""
    scale = bench.scale
    await bench.take_in(clinic, patients.practitioners(scale.threads))
    staff_ids = bench.ids("staff_members", clinic, scale.threads)
    primary, *secondaries = bench.ids("profiles", clinic, scale.merges + 1)
    threads = [_thread(clinic, member, profile) for profile in secondaries for member in staff_ids]
    await Seeder(bench.stack).messages(threads, 1)
    took = [await _merged_ms(bench, clinic, primary, profile) for profile in secondaries]
    bench.report.add("merge_confirmed_p50_ms", median(took), "ms", "<= 100")


async def _merged_ms(bench: Bench, clinic: Clinic, primary: UUID, secondary: UUID) -> float:
    request = pb.MergeProfilesRequest(
        primary_profile_id=str(primary),
        secondary_profile_id=str(secondary),
        request_id=str(uuid7()),
    )
    began = time.perf_counter()
    answer = await clinic.owner.call(bench.suite.directory.MergeProfiles, request)
    assert answer.applied
    took = (time.perf_counter() - began) * 1e3
    await eventually(partial(_archived, bench, secondary), within=60)
    return took


async def _archived(bench: Bench, profile: UUID) -> bool:
    query = "select count(*) from conversations where profile_id = %s and reasons = '{}'"
    return bench.rows("conversations", query, profile) == [(0,)]


def _thread(clinic: Clinic, staff_id: UUID, profile_id: UUID) -> Thread:
    def person(side: Side, id: UUID) -> Person:
        return Person(side, id, clinic.id, uuid7())

    return Thread(uuid7(), person(Side.STAFF, staff_id), person(Side.PROFILE, profile_id))


async def rebuild(bench: Bench) -> None:
    """From nothing, with the start of the process, to every profile held."""
    await bench.stack.term("conversations")
    tables = "replica_clinics, replica_staff, replica_profiles, replica_sessions, sweeps"
    with psycopg.connect(bench.stack.superuser_url("conversations")) as connection:
        connection.execute(f"truncate {tables}".encode())
    began = time.perf_counter()
    await bench.stack.start("conversations")
    await replica_filled(bench)
    bench.report.add("replica_rebuild_s", time.perf_counter() - began, "s", "<= 90")


def note_load(bench: Bench, when: str) -> None:
    """How many processes were running or waiting to, of anybody's, in the minute before."""
    bench.report.add(f"load_at_{when}", os.getloadavg()[0], "processes")


def vacuum(stack: Stack, services: Sequence[str]) -> None:
    """As autovacuum does by itself within minutes."""
    for service in services:
        with psycopg.connect(stack.superuser_url(service), autocommit=True) as connection:
            connection.execute("vacuum analyze")


async def run(bench: Bench) -> None:
    scale = bench.scale
    note_load(bench, "start")
    null_p50 = await calibrate(bench)
    for n in range(scale.small_clinics):
        small = await bench.clinic(f"Small clinic {n}")
        numbers = range(1_000_000 + n * scale.small, 1_000_000 + (n + 1) * scale.small)
        await bench.take_in(small, patients.file(numbers))
    tenth = await bench.clinic("Clinic of a tenth")
    await bench.take_in(tenth, patients.file(range(scale.tenth)))
    await replica_filled(bench)
    large = await bench.clinic("Large clinic")
    await import_large(bench, large)
    vacuum(bench.stack, ["directory", "conversations"])
    look_up(bench, large)
    await search(bench, null_p50, large, tenth)
    await merges(bench, large)
    await rebuild(bench)
    note_load(bench, "end")
    bench.report.write()


@asynccontextmanager
async def benched(scale: Scale) -> AsyncIterator[Bench]:
    services = ("directory", "conversations", "notifications")
    async with Stack.throwaway(services=services) as stack:
        suite = Suite(find({"LOCAL_STATE": str(stack.plan.state.directory)}))
        try:
            yield Bench(stack, suite, Desk(suite), scale, Report(REPORT))
        finally:
            await suite.close()


async def main(scale: Scale) -> None:
    async with benched(scale) as bench:
        await run(bench)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The figures of the directory.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, for a look")
    quick = Scale(10_000, 1_000, 10, 50, 10, 100, 3.0)
    asyncio.run(main(quick if parser.parse_args().quick else Scale()))
