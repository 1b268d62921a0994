"""The two demonstrations; `make demo` plays them on a throw-away stack."""

from argparse import ArgumentTypeError, Namespace
from pathlib import Path

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.output import Json, Told, plain
from services.cli.parsing import Commands, command
from services.cli.replay import report
from services.cli.replay.dialogues import read_dialogues
from services.cli.replay.fhir import read_people
from services.cli.replay.performance import Show, perform
from services.cli.session import Session
from services.cli.tour.story import tell_story


def add(commands: Commands) -> None:
    command(
        commands,
        "tour",
        tour,
        help="play the product's story on this suite, in a new clinic, and check every step",
        examples=["clinic tour", "make demo    (the same, on a throw-away suite)"],
    )
    parser = command(
        commands,
        "replay",
        replay,
        help="replay dialogues between imported people on this suite, and compare what comes back",
        examples=[
            "clinic replay --people data --dialogues data/dialogues.jsonl --count 50",
            "make demo PEOPLE=data DIALOGUES=data/dialogues.jsonl COUNT=200",
            "",
            "Nobody types as fast as a replay: on a suite whose send limits are not raised, as",
            "`make demo` does, it is slowed down or refused.",
        ],
    )
    parser.add_argument(
        "--people", metavar="DIRECTORY", type=Path, required=True, help="*.ndjson of FHIR R4"
    )
    parser.add_argument(
        "--dialogues", metavar="FILE", type=Path, required=True, help="one a line of JSON"
    )
    parser.add_argument("--count", metavar="N", type=_positive, default=200, help="200 by default")
    parser.add_argument(
        "--side-by-side", metavar="N", type=_positive, default=16, help="16 by default"
    )


async def tour(session: Session, arguments: Namespace) -> Told:
    console = Console(highlight=False, stderr=arguments.json)
    narrator = await tell_story(
        session.suite, show=lambda part: console.print(part, soft_wrap=True)
    )
    held, broken = narrator.steps - len(narrator.broken), narrator.broken
    data: Json = {"steps": narrator.steps, "held": held, "broken": broken}
    verdict = f"\nAll {narrator.steps} steps hold."
    if broken:
        verdict = f"\n{held} of {narrator.steps} steps hold. Not so: {'; '.join(broken)}."
    return Told(data, Group(plain(verdict)), ok=not broken, wraps=False)


async def replay(session: Session, arguments: Namespace) -> Told:
    people = read_people(arguments.people)
    script = read_dialogues(arguments.dialogues, count=arguments.count)
    console = Console(highlight=False, stderr=arguments.json)
    with _progress(console) as progress:
        messages = progress.add_task("messages", total=script.turns, visible=False)

        def begin(phase: str) -> None:
            progress.console.print(plain(f"{phase} …"), soft_wrap=True)

        def spoken() -> None:
            progress.update(messages, advance=1, visible=True)

        if len(script.dialogues) < arguments.count:
            begin(f"The file holds {len(script.dialogues)} dialogues that can be replayed")
        outcome = await perform(
            session.desk,
            people,
            script,
            at_once=arguments.side_by_side,
            show=Show(begin, spoken),
        )
    return report.told(outcome)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError("a whole number above 0 is wanted")
    return int(text)
