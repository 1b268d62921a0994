"""A replay from its first step to its verdict."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.cli.commands.importing import Imported
from services.cli.mailbox import Mailbox
from services.cli.replay import comparing, population
from services.cli.replay.acting import Stage
from services.cli.replay.dialogues import Script
from services.cli.replay.fhir import People
from services.cli.replay.merging import compare_merged, merge_a_tenth, unmerge
from services.cli.replay.numbers import Measured
from services.cli.replay.population import Clinic, Scene
from services.cli.replay.post import Post
from services.cli.sessions import Desk


@dataclass
class Outcome:
    """What was done and what differed; `dropped` counts what was left out of the dialogues."""

    deceased: int
    dropped: Counter[str]
    imported: Imported = field(default_factory=Imported)
    dialogues: int = 0
    messages: int = 0
    staff_messages: int = 0
    mails: int = 0
    merges: int = 0
    unmerges: int = 0
    measured: Measured = field(default_factory=Measured)
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Show:
    """Where progress goes: the beginning of a phase, and each message spoken."""

    phase: Callable[[str], None]
    spoken: Callable[[], None]


async def perform(
    desk: Desk, people: People, script: Script, *, at_once: int, show: Show
) -> Outcome:
    """Import, replay, read back, compare, merge, compare, un-merge, compare."""
    outcome = Outcome(len(people.deceased), script.dropped)
    clinic = await _gather(desk, people, script, outcome, show)
    scenes = population.cast(script.dialogues, clinic)
    show.phase(f"Replaying {len(scenes)} dialogues of {script.turns} messages")
    await _play(desk, scenes, outcome, at_once=at_once, show=show)
    show.phase("Comparing every thread with its file, as read back by both sides")
    outcome.differences += await comparing.compare(scenes)
    outcome.differences += await comparing.read_all(scenes)
    show.phase("Merging a tenth of the patients, comparing, and un-merging half of those")
    await _merge(clinic, scenes, outcome)
    return outcome


async def _gather(
    desk: Desk, people: People, script: Script, outcome: Outcome, show: Show
) -> Clinic:
    """The clinic with everybody in it."""
    show.phase(f"Importing {len(people.resources)} people")
    clinic = await population.open_clinic(desk)
    outcome.imported = await population.import_people(clinic, people)
    show.phase("Signing everybody in")
    await population.gather(clinic, people)
    outcome.differences += _import_differences(clinic, people, outcome.imported)
    least = population.least_staff(len(script.dialogues), clinic)
    if further := await population.hire(clinic, least=least):
        show.phase(f"{further} more staff, so that each dialogue has its own conversation")
    return clinic


def _import_differences(clinic: Clinic, people: People, imported: Imported) -> list[str]:
    """Everybody who was made is found, but those whom the file itself says to be merged away."""
    found, summary = len(clinic.staff) + len(clinic.patients), imported.summary
    made = summary.created - summary.merged
    differences = [] if found == made else [f"{found} people are found of {made} imported"]
    living = {actor.email.casefold() for actor in clinic.patients}
    risen = living & {address.casefold() for address in people.deceased}
    return [*differences, f"{len(risen)} deceased were imported"] if risen else differences


async def _play(
    desk: Desk, scenes: list[Scene], outcome: Outcome, *, at_once: int, show: Show
) -> None:
    post = Post(Mailbox(desk.suite.places.mailbox))
    await post.skip_old()
    stage = Stage(post, show.spoken)
    looking = asyncio.create_task(post.run())
    try:
        await stage.play(scenes, at_once=at_once)
        await post.settle()
    finally:
        looking.cancel()
    outcome.measured = stage.measured
    outcome.dialogues, outcome.messages = len(scenes), len(stage.measured.sends)
    mails = post.to(actor.email for scene in scenes for actor in (scene.staff, scene.patient))
    outcome.staff_messages, outcome.mails = _staff_messages(scenes), len(mails)
    outcome.differences += stage.differences
    outcome.differences += comparing.compare_mails(scenes, mails)


async def _merge(clinic: Clinic, scenes: Sequence[Scene], outcome: Outcome) -> None:
    merges = await merge_a_tenth(clinic, scenes)
    outcome.merges = len(merges)
    outcome.differences += await compare_merged(scenes, merges)
    undone = (len(merges) + 1) // 2
    await unmerge(clinic, merges[:undone], scenes)
    outcome.unmerges = undone
    outcome.differences += await compare_merged(scenes, merges[undone:])


def _staff_messages(scenes: Sequence[Scene]) -> int:
    return sum(scene.dialogue.said_by(scene.staff.person.side) for scene in scenes)
