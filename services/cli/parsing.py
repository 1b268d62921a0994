"""How commands are declared: one line of help, examples below it, and who acts."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Sequence
from typing import TypeAlias

from services.cli.session import Run

Commands: TypeAlias = "_SubParsersAction[ArgumentParser]"


def command(
    commands: Commands, name: str, run: Run, *, help: str, examples: Sequence[str] = ()
) -> ArgumentParser:
    """Add a command; `help` ends up in the list and, with the examples, in its own page."""
    parser = commands.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        epilog=epilog(examples),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.set_defaults(run=run)
    return parser


def group(commands: Commands, name: str, *, help: str, examples: Sequence[str] = ()) -> Commands:
    """Add a family of commands below one word."""
    parser = commands.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        epilog=epilog(examples),
        formatter_class=RawDescriptionHelpFormatter,
    )
    return parser.add_subparsers(metavar="COMMAND", required=True)


def epilog(examples: Sequence[str]) -> str:
    return "\n".join(["examples:", *(f"  {each}" for each in examples)]) if examples else ""


def add_clinic(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--clinic", metavar="ID", help="the clinic; CLINIC_ID, or the demo clinic, unless given"
    )


def add_person(parser: ArgumentParser) -> None:
    """Who acts. A session is opened for the command and closed behind it."""
    who = parser.add_argument_group("who acts").add_mutually_exclusive_group()
    who.add_argument(
        "--as",
        dest="who",
        metavar="WHO",
        help="staff:<id>, profile:<id>, or a name of the demo clinic, such as practitioner",
    )
    who.add_argument("--staff", metavar="ID", help="the same as --as staff:<id>")
    who.add_argument("--profile", metavar="ID", help="the same as --as profile:<id>")
    who.add_argument("--token", help="a token made before; CLINIC_TOKEN in the environment")
    add_clinic(parser)
