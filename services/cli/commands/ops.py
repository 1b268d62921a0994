"""What the support team does: status, dead letters, audit, keys."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from rich.console import Group

from clinic.operations.v1 import operations_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.failures import Refused
from services.cli.output import (
    Json,
    Row,
    Told,
    as_data,
    details,
    lines,
    named,
    plain,
    table,
    when,
)
from services.cli.parsing import Commands, add_clinic, command, group
from services.cli.places import SERVICES
from services.cli.session import Session

_PAGE = 200
# The one service that holds texts.
_SEALS = "conversations"


def add(commands: Commands) -> Commands:
    """Returns the family, so that others can join it."""
    ops = group(
        commands,
        "ops",
        help="what the support team does",
        examples=["clinic ops status", "clinic ops dead-letters list notifications"],
    )
    command(
        ops,
        "status",
        status,
        help="show how far each service's events have come",
        examples=["clinic ops status"],
    )
    _add_dead_letters(ops)
    _add_looking(ops)
    _add_keys(ops)
    return ops


def _add_looking(ops: Commands) -> None:
    parser = command(
        ops,
        "audit",
        audit,
        help="list who did what in a clinic, newest first",
        examples=["clinic ops audit directory", "clinic ops audit directory --object 0199d1a0-…"],
    )
    _add_service(parser)
    parser.add_argument("--actor", default="", help="only what this one did, as staff:<id>")
    parser.add_argument("--object", default="", metavar="ID", help="only what was done to this")
    add_clinic(parser)


def _add_dead_letters(ops: Commands) -> None:
    letters = group(
        ops,
        "dead-letters",
        help="events that a consumer gave up on",
        examples=["clinic ops dead-letters list notifications"],
    )
    parser = command(letters, "list", list_dead_letters, help="list them, newest first")
    _add_service(parser)
    parser.add_argument("--consumer", default="", help="only this consumer's")
    for name, run, help in (
        ("show", show_dead_letter, "show one"),
        ("replay", replay_dead_letter, "hand the event to its consumer once more"),
        ("discard", discard_dead_letter, "remove it; its event never takes effect"),
    ):
        example = f"clinic ops dead-letters {name} notifications 0199d1a0-…"
        parser = command(letters, name, run, help=help, examples=[example])
        _add_service(parser)
        parser.add_argument("id", metavar="ID")


def _add_keys(ops: Commands) -> None:
    keys = group(
        ops,
        "keys",
        help="the keys under which messages are sealed",
        examples=["clinic ops keys rotate --clinic 0199d1a0-…"],
    )
    parser = command(
        keys,
        "rotate",
        rotate_keys,
        help="seal a clinic's messages under a new key from now on",
        examples=["clinic ops keys rotate", "clinic ops keys rotate --clinic 0199d1a0-…"],
    )
    add_clinic(parser)


def _add_service(parser: ArgumentParser) -> None:
    parser.add_argument("service", choices=SERVICES)


async def status(session: Session, arguments: Namespace) -> Told:
    ops = session.desk.ops()
    answers: dict[str, pb.GetStatusResponse] = {}
    refusals: dict[str, Refused] = {}
    for service, stub in session.suite.operations.items():
        try:
            answers[service] = await ops.call(stub.GetStatus, pb.GetStatusRequest())
        except Refused as refused:
            refusals[service] = refused
    data: dict[str, Json] = {service: as_data(answer) for service, answer in answers.items()}
    data |= {service: {"error": str(refused)} for service, refused in refusals.items()}
    rows: list[Row] = [
        _status_row(service, answers[service], behind=_behind(answers[service], answers))
        if service in answers
        else (service, refusals[service].message, "", "", "", "")
        for service in session.suite.operations
    ]
    columns = ("service", "events", "on the bus", "bus", "has yet to sweep", "dead letters")
    return Told(data, table(columns, rows, empty=""), ok=not refusals)


async def list_dead_letters(session: Session, arguments: Namespace) -> Told:
    request = pb.ListDeadLettersRequest(consumer=arguments.consumer, page_size=_PAGE)
    stub = session.suite.operations[arguments.service]
    answer = await session.desk.ops().call(stub.ListDeadLetters, request)
    rows = [_letter_row(each) for each in answer.dead_letters]
    shown = table(("dead letter", "consumer", "failure", "tries"), rows, empty="No dead letters.")
    return Told([as_data(each) for each in answer.dead_letters], shown)


async def show_dead_letter(session: Session, arguments: Namespace) -> Told:
    stub = session.suite.operations[arguments.service]
    request = pb.GetDeadLetterRequest(dead_letter_id=arguments.id)
    letter = (await session.desk.ops().call(stub.GetDeadLetter, request)).dead_letter
    event = letter.event
    pairs = [
        ("dead letter", letter.dead_letter_id),
        ("consumer", f"{letter.consumer}, of events of {letter.source}"),
        ("failure", f"{letter.error_class}, {letter.attempts} tries"),
        ("set aside", when(letter.create_time)),
        ("event", f"{event.type} {event.event_id}"),
        ("of clinic", event.clinic_id),
        ("about", event.aggregate_id),
        ("happened", when(event.occur_time)),
        ("bytes", str(len(event.payload))),
    ]
    return Told(as_data(letter), details(pairs))


async def replay_dead_letter(session: Session, arguments: Namespace) -> Told:
    stub = session.suite.operations[arguments.service]
    request = pb.ReplayDeadLetterRequest(dead_letter_id=arguments.id, request_id=str(uuid7()))
    answer = await session.desk.ops().call(stub.ReplayDeadLetter, request)
    said = "It took effect; the dead letter is gone."
    if not answer.handled:
        said = "It failed again; the dead letter stays."
    return Told(as_data(answer), lines(said), ok=answer.handled)


async def discard_dead_letter(session: Session, arguments: Namespace) -> Told:
    stub = session.suite.operations[arguments.service]
    request = pb.DiscardDeadLetterRequest(dead_letter_id=arguments.id, request_id=str(uuid7()))
    answer = await session.desk.ops().call(stub.DiscardDeadLetter, request)
    return Told(as_data(answer), lines("Removed for good."))


async def audit(session: Session, arguments: Namespace) -> Told:
    request = pb.ListAuditRecordsRequest(
        actor=arguments.actor, object_id=arguments.object, page_size=_PAGE
    )
    ops = session.desk.ops(session.clinic_of(arguments))
    stub = session.suite.operations[arguments.service]
    answer = await ops.call(stub.ListAuditRecords, request)
    rows = [_audit_row(each) for each in answer.audit_records]
    shown = table(("when", "what"), rows, empty="Nothing is recorded.")
    more = plain("The latest 200; narrow it with --actor or --object.")
    parts = (shown, more) if answer.next_page_token else (shown,)
    return Told([as_data(each) for each in answer.audit_records], Group(*parts))


async def rotate_keys(session: Session, arguments: Namespace) -> Told:
    ops = session.desk.ops(session.clinic_of(arguments))
    stub = session.suite.operations[_SEALS]
    answer = await ops.call(stub.RotateKeys, pb.RotateKeysRequest(request_id=str(uuid7())))
    said = (
        f"The clinic's key is now version {answer.key_version}; within a minute messages are"
        " sealed with it. Older messages stay readable."
    )
    return Told(as_data(answer), lines(said))


def _behind(answer: pb.GetStatusResponse, sources: Mapping[str, pb.GetStatusResponse]) -> str:
    """How many events of each source are not known to be handled, where the source answered."""
    return ", ".join(
        f"{max(sources[each.source].last_position - each.position, 0)} of {each.source}"
        for each in answer.consumers
        if each.source in sources and each.incarnation == sources[each.source].incarnation
    )


def _status_row(service: str, answer: pb.GetStatusResponse, *, behind: str) -> Row:
    return (
        service,
        str(answer.last_position),
        f"{answer.published_position} ({answer.unpublished_events} waiting)",
        "connected" if answer.bus_connected else "out of reach",
        behind,
        str(answer.dead_letters),
    )


def _letter_row(letter: pb.DeadLetter) -> Row:
    return (
        named(letter.event.type, letter.dead_letter_id),
        letter.consumer,
        letter.error_class,
        str(letter.attempts),
    )


def _audit_row(record: pb.AuditRecord) -> Row:
    denied = record.outcome == pb.AUDIT_OUTCOME_DENIED
    did = f"{record.action}, refused: {record.reason}" if denied else record.action
    return (
        when(record.record_time),
        named(did, f"by {record.actor}", f"to {record.object_type} {record.object_id}"),
    )
