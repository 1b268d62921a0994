"""The two demonstrations; `make demo` plays them on a throw-away stack."""

from argparse import Namespace

from rich.console import Console, Group

from services.cli.output import Json, Told, plain
from services.cli.parsing import Commands, command
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
