"""People from the files of another system."""

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from rich.console import Console, Group
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from clinic.directory.v1 import directory_internal_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.failures import Failed, Refused
from services.cli.output import Json, Row, Told, as_data, details, table, word
from services.cli.parsing import Commands, add_clinic, command
from services.cli.session import Session
from services.cli.suite import Caller, Suite
from services.cli.uploads import Upload, upload_of

_FORMATS = {"csv": pb.IMPORT_FORMAT_CSV, "fhir": pb.IMPORT_FORMAT_FHIR_NDJSON}
_BY_ENDING = {".csv": "csv", ".ndjson": "fhir", ".jsonl": "fhir", ".json": "fhir"}
_MOST_SHOWN = 20


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "import",
        import_files,
        help="create and update patients and contacts from files of another system",
        examples=[
            "clinic import Patient.ndjson RelatedPerson.ndjson --source oscar-emr",
            "clinic import Bundle.json --source oscar-emr",
            "clinic import people.csv --source front-desk --dry-run",
            "",
            "A row is known by its id within --source: importing a file again changes nothing.",
        ],
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path)
    parser.add_argument(
        "--source",
        default="file",
        metavar="NAME",
        help="the system that the ids are of, as oscar-emr",
    )
    parser.add_argument("--format", choices=_FORMATS, help="unless the file's name tells it")
    parser.add_argument("--dry-run", action="store_true", help="check every row, save none")
    add_clinic(parser)


async def import_files(session: Session, arguments: Namespace) -> Told:
    # Nothing is sent before all of the files are known to be there.
    files = {file: (_header(file, arguments), upload_of(file)) for file in arguments.files}
    platform = session.desk.platform(session.clinic_of(arguments))
    outcomes = {}
    with _progress() as progress:
        for file, (header, upload) in files.items():
            task = progress.add_task(file.name, total=upload.size)
            outcomes[file.name] = await import_file(
                session.suite,
                platform,
                header=header,
                read=partial(_told, upload, progress, task),
            )
    return _summary(outcomes, dry_run=arguments.dry_run)


class Imported:
    """What became of a file."""

    def __init__(self) -> None:
        self.summary = pb.ImportProfilesResponse.Summary()
        self.errors: list[pb.ImportProfilesResponse.RowError] = []


async def import_file(
    suite: Suite,
    platform: Caller,
    *,
    header: pb.ImportProfilesRequest.Header,
    read: Callable[[], Iterator[bytes]],
) -> Imported:
    """As `import_profiles`, and once more where the client's own library lost a refusal: a repeat
    changes nothing, and is told why."""
    try:
        return await import_profiles(suite, platform, header=header, chunks=read())
    except Refused as refused:
        if not refused.was_lost:
            raise
    return await import_profiles(suite, platform, header=header, chunks=read())


async def import_profiles(
    suite: Suite,
    platform: Caller,
    *,
    header: pb.ImportProfilesRequest.Header,
    chunks: Iterator[bytes],
) -> Imported:
    """Stream a file to the directory. Raises Failed where it ended without its summary."""
    imported, complete = Imported(), False
    stub = suite.directory_internal.ImportProfiles
    async for answer in platform.upload(stub, _requests(header, chunks)):
        if answer.WhichOneof("outcome") == "summary":
            imported.summary.CopyFrom(answer.summary)
            complete = True
        else:
            imported.errors.append(answer.row_error)
    if not complete:
        raise Failed("The import ended early; import the file again, which repeats nothing.")
    return imported


def _requests(
    header: pb.ImportProfilesRequest.Header, chunks: Iterator[bytes]
) -> Iterator[pb.ImportProfilesRequest]:
    yield pb.ImportProfilesRequest(header=header)
    for chunk in chunks:
        yield pb.ImportProfilesRequest(chunk=chunk)


def _header(file: Path, arguments: Namespace) -> pb.ImportProfilesRequest.Header:
    format = arguments.format or _BY_ENDING.get(file.suffix.lower())
    if format is None:
        raise Failed(f"What is {file.name}? Say --format csv or --format fhir.")
    return pb.ImportProfilesRequest.Header(
        format=_FORMATS[format],
        source_system=arguments.source,
        dry_run=arguments.dry_run,
        request_id=str(uuid7()),
    )


def _progress() -> Progress:
    """On the error output, and only where a person looks at it."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _told(upload: Upload, progress: Progress, task: TaskID) -> Iterator[bytes]:
    progress.reset(task)
    for chunk in upload.read():
        yield chunk
        progress.advance(task, len(chunk))


def _summary(outcomes: Mapping[str, Imported], *, dry_run: bool) -> Told:
    data: Json = {
        name: {
            "summary": as_data(imported.summary),
            "row_errors": [as_data(each) for each in imported.errors],
        }
        for name, imported in outcomes.items()
    }
    shown = [part for name, each in outcomes.items() for part in _shown(name, each)]
    if dry_run:
        shown.append(Group("Nothing was saved: this is what an import would do."))
    failed = any(imported.summary.failed for imported in outcomes.values())
    return Told(data, Group(*shown), ok=not failed)


def _shown(name: str, imported: Imported) -> Iterator[Group]:
    counts = imported.summary
    pairs = [(field.name, str(getattr(counts, field.name))) for field in counts.DESCRIPTOR.fields]
    yield Group(details([("file", name), *pairs]), "")
    if imported.errors:
        rows = [_error_row(each) for each in imported.errors[:_MOST_SHOWN]]
        yield table(("line", "field", "left out because"), rows, empty="")
    if len(imported.errors) > _MOST_SHOWN:
        yield Group(f"… and {len(imported.errors) - _MOST_SHOWN} more; --json lists them all.")


def _error_row(error: pb.ImportProfilesResponse.RowError) -> Row:
    reason = word(pb.ImportRowReason.Name(error.reason), "IMPORT_ROW_REASON_")
    return str(error.line), error.field, reason
