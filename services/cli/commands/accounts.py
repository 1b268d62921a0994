"""Signing in, and the clinic to try things with."""

from argparse import Namespace

from rich.console import Group

from services.cli import demo_clinic
from services.cli.output import Json, Told, details, lines, plain
from services.cli.parsing import Commands, add_person, command
from services.cli.session import Session


def add(commands: Commands) -> None:
    command(
        commands,
        "demo-clinic",
        make_demo_clinic,
        help="make a small clinic to try things with, unless it is there, and sign its people in",
        examples=["clinic demo-clinic", "clinic demo-clinic --json"],
    )
    parser = command(
        commands,
        "token",
        token,
        help="sign somebody in and print the token, which is good for twelve hours",
        examples=[
            "clinic token --as practitioner",
            "clinic token --staff 0199d1a0-… --clinic 0199d1a1-…",
            'CLINIC_TOKEN="$(clinic token --as patient)" clinic inbox',
        ],
    )
    add_person(parser)


async def make_demo_clinic(session: Session, arguments: Namespace) -> Told:
    demo = await demo_clinic.seed(session.suite, session.desk, known=session.remembered())
    session.remember(demo)
    commands = demo_clinic.commands_to_try(demo)
    people = details(
        [("clinic", demo.clinic_id), ("conversation", demo.conversation_id), *demo.people.items()]
    )
    data: Json = {
        "clinic_id": demo.clinic_id,
        "conversation_id": demo.conversation_id,
        "people": dict(demo.people),
        "tokens": dict(await demo_clinic.sign_in(session.desk, demo)),
        "commands": commands,
    }
    to_try = lines("\nTo try:", *(f"  {each}" for each in commands))
    return Told(data, Group(people, to_try), wraps=False)


async def token(session: Session, arguments: Namespace) -> Told:
    person, clinic_id = session.person_of(arguments), session.clinic_of(arguments)
    signed_in = await session.desk.sign_in(person, clinic_id=clinic_id)
    data = {"token": signed_in.token, "person": str(person), "clinic_id": clinic_id}
    return Told(data, plain(signed_in.token), wraps=False)
