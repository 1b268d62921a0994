"""Exports, as the support team runs them for a clinic's Account Owner (R43 to R46)."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from clinic.export.v1 import export_internal_service_pb2 as pb
from clinic.export.v1 import export_pb2
from services.chassis.ids import uuid7
from services.cli.failures import Failed
from services.cli.output import Json, Row, Told, as_data, details, lines, named, table, when, word
from services.cli.parsing import Commands, add_clinic, command, group
from services.cli.session import Session
from services.cli.suite import Caller, Suite
from services.export_format.layout import FILES
from services.export_format.signature import Keys, read_keys
from services.export_format.verify import verify

_PAGE = 200
# Whose key signs manifests; the other machines' keys in the same file sign none.
_SIGNER = "service:export"


def add(ops: Commands) -> None:
    exports = group(
        ops,
        "export",
        help="one staff member's messages, for the clinic's Account Owner",
        examples=[
            "clinic ops export create STAFF --requester owner@clinic.example",
            "clinic ops export show EXPORT",
            "clinic ops export download EXPORT messages-of-dr-lindqvist",
            "clinic ops export verify messages-of-dr-lindqvist",
        ],
    )
    _add_running(exports)
    _add_handing_over(exports)


def _add_running(exports: Commands) -> None:
    parser = command(
        exports,
        "create",
        create,
        help="have somebody's messages written into files, on the owner's request",
        examples=["clinic ops export create 0199d1a0-… --requester owner@clinic.example"],
    )
    parser.add_argument("staff_id", metavar="STAFF", help="whose messages, active or not")
    parser.add_argument(
        "--requester", metavar="ADDRESS", required=True, help="where the request came from"
    )
    add_clinic(parser)
    parser = command(exports, "list", list_exports, help="list a clinic's exports, newest first")
    add_clinic(parser)
    parser = command(exports, "show", show, help="show how far an export has come")
    parser.add_argument("export_id", metavar="EXPORT")
    add_clinic(parser)
    parser = command(exports, "cancel", cancel, help="withdraw an export that is not built yet")
    parser.add_argument("export_id", metavar="EXPORT")
    add_clinic(parser)


def _add_handing_over(exports: Commands) -> None:
    parser = command(
        exports,
        "download",
        download,
        help="fetch an export's files, to be handed to the Account Owner and to nobody else",
        examples=["clinic ops export download 0199d1a0-… messages-of-dr-lindqvist"],
    )
    parser.add_argument("export_id", metavar="EXPORT")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a new folder")
    add_clinic(parser)
    parser = command(
        exports,
        "verify",
        verify_folder,
        help="check offline that an export is whole and genuine",
        examples=[
            "clinic ops export verify messages-of-dr-lindqvist",
            "clinic ops export verify messages-of-dr-lindqvist --key export.jwk",
        ],
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument(
        "--key", metavar="FILE", type=Path, help="JWK or JWKS with the key that signs exports"
    )


async def create(session: Session, arguments: Namespace) -> Told:
    ops = session.desk.ops(session.clinic_of(arguments))
    made = await create_export(
        session.suite, ops, staff_id=arguments.staff_id, requester=arguments.requester
    )
    return _described(made)


async def list_exports(session: Session, arguments: Namespace) -> Told:
    request = pb.ExportInternalServiceListExportsRequest(page_size=_PAGE)
    ops = session.desk.ops(session.clinic_of(arguments))
    answer = await ops.call(session.suite.export_internal.ListExports, request)
    rows = [_row(each) for each in answer.exports]
    shown = table(("export", "state"), rows, empty="No exports.")
    return Told([as_data(each) for each in answer.exports], shown)


async def show(session: Session, arguments: Namespace) -> Told:
    ops = session.desk.ops(session.clinic_of(arguments))
    return _described(await get_export(session.suite, ops, arguments.export_id))


async def cancel(session: Session, arguments: Namespace) -> Told:
    request = pb.CancelExportRequest(export_id=arguments.export_id, request_id=str(uuid7()))
    ops = session.desk.ops(session.clinic_of(arguments))
    answer = await ops.call(session.suite.export_internal.CancelExport, request)
    return _described(answer.export)


async def download(session: Session, arguments: Namespace) -> Told:
    ops = session.desk.ops(session.clinic_of(arguments))
    sizes = await download_export(session.suite, ops, arguments.export_id, folder=arguments.folder)
    told = [f"{name}: {size} bytes" for name, size in sizes.items()]
    hint = f"Check it with: clinic ops export verify {arguments.folder}"
    return Told(dict(sizes), lines(*told, hint), wraps=False)


async def verify_folder(session: Session, arguments: Namespace) -> Told:
    keys = signing_keys(arguments.key or session.places.keys / "callers.jwks")
    try:
        findings = [str(finding) for finding in verify(arguments.folder, keys)]
    except OSError as error:
        raise Failed(f"{arguments.folder} cannot be read: {error.strerror}.") from error
    said = "The export is whole and genuine: nothing was changed, added or left out."
    data: Json = {"genuine": not findings, "findings": findings}
    if findings:
        said = "\n".join(["Do not trust this export:", *(f"  {each}" for each in findings)])
    return Told(data, lines(said), ok=not findings, wraps=False)


async def create_export(
    suite: Suite, ops: Caller, *, staff_id: str, requester: str
) -> export_pb2.Export:
    request = pb.CreateExportRequest(
        staff_id=staff_id, requester_address=requester, request_id=str(uuid7())
    )
    return (await ops.call(suite.export_internal.CreateExport, request)).export


async def get_export(suite: Suite, ops: Caller, export_id: str) -> export_pb2.Export:
    request = pb.GetExportRequest(export_id=export_id)
    return (await ops.call(suite.export_internal.GetExport, request)).export


async def download_export(
    suite: Suite, ops: Caller, export_id: str, *, folder: Path
) -> Mapping[str, int]:
    """Write the files into a new folder that only its owner can read; their sizes in bytes.

    Raises Failed where the folder is there already or a file is not one of an export's.
    """
    _make(folder)
    request, files = pb.DownloadExportRequest(export_id=export_id), dict[str, BinaryIO]()
    try:
        async for part in ops.download(suite.export_internal.DownloadExport, request):
            if part.file_name not in FILES:
                raise Failed("The answer holds a file that does not belong to an export.")
            if part.file_name not in files:
                files[part.file_name] = (folder / part.file_name).open("xb")
            files[part.file_name].write(part.chunk)
        return {name: file.tell() for name, file in files.items()}
    finally:
        for file in files.values():
            file.close()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise Failed(f"{folder} cannot be made: {error.strerror}.") from error


def signing_keys(path: Path) -> Keys:
    """The keys in a file that may sign exports. Raises Failed where there are none."""
    try:
        keys = read_keys(path.read_bytes())
    except OSError as error:
        raise Failed(f"{path} cannot be read: {error.strerror}. Name a key with --key.") from error
    except ValueError as error:
        raise Failed(f"{path} holds no key that signs exports: {error}.") from error
    return {kid: key for kid, key in keys.items() if kid == _SIGNER} or keys


def _described(export: export_pb2.Export) -> Told:
    pairs = [
        ("export", export.export_id),
        ("of", export.staff_id),
        ("state", _state(export)),
        ("asked for", when(export.create_time)),
        ("holds all up to", when(export.cutoff_time)),
        ("deleted at", when(export.expire_time)),
        ("conversations", str(export.conversation_count)),
        ("messages", str(export.message_count)),
    ]
    return Told(as_data(export), details((name, value) for name, value in pairs if value))


def _row(export: export_pb2.Export) -> Row:
    ids = (export.export_id, "of", export.staff_id)
    return (named(when(export.create_time), *ids), _state(export))


def _state(export: export_pb2.Export) -> str:
    return word(export_pb2.ExportState.Name(export.state), "EXPORT_STATE_")
