"""The Account Owner asks for the messages of somebody who left (R43 to R46, R56)."""

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from clinic.export.v1 import export_internal_service_pb2 as pb
from clinic.export.v1 import export_pb2
from services.chassis.ids import uuid7
from services.cli.commands.exports import (
    create_export,
    download_export,
    get_export,
    signing_keys,
)
from services.cli.failures import Failed
from services.cli.suite import Caller
from services.cli.tour.cast import Cast, Stage
from services.cli.tour.merging import NOTE
from services.cli.tour.replies import SLIP
from services.cli.tour.thread import ANSWER, TEXT
from services.export_format.layout import MESSAGES
from services.export_format.verify import verify

_LOOK_EVERY_SECONDS = 0.2
_LOOKS = 150
_BUILDING = (export_pb2.EXPORT_STATE_APPROVED, export_pb2.EXPORT_STATE_RUNNING)


async def hand_over(stage: Stage, cast: Cast) -> None:
    tell, ops = stage.narrator, stage.desk.ops(cast.clinic_id)
    tell.chapter("The owner asks for the messages of the practitioner who left")
    async with tell.step("A request comes from the manager's address") as step:
        request = pb.CreateExportRequest(
            staff_id=cast.practitioner.id,
            requester_address=cast.manager.email,
            request_id=str(uuid7()),
        )
        refused = await ops.refused(stage.suite.export_internal.CreateExport, request)
        step.expect_refusal(refused, "REQUESTER_NOT_OWNER")
    async with tell.step("Support runs it when the owner's own address asks") as step:
        made = await create_export(
            stage.suite, ops, staff_id=cast.practitioner.id, requester=cast.owner.email
        )
        built = await _built(stage, ops, made.export_id)
        step.expect(built.state == export_pb2.EXPORT_STATE_READY, "it is built")
        step.expect(built.conversation_count == 2, "both of her conversations are in it")
        step.expect(built.message_count == 5, "with their five messages, one of them a tombstone")
    with TemporaryDirectory(prefix="clinic-export-") as directory:
        folder = Path(directory) / "export"
        await _check(stage, ops, made.export_id, folder)


async def _check(stage: Stage, ops: Caller, export_id: str, folder: Path) -> None:
    tell = stage.narrator
    keys = signing_keys(stage.suite.places.keys / "callers.jwks")
    async with tell.step("The files are fetched and verified, offline") as step:
        await download_export(stage.suite, ops, export_id, folder=folder)
        step.expect(not verify(folder, keys), "whole and genuine")
        content = _texts(folder)
        kept = all(text in content for text in (TEXT, ANSWER, NOTE))
        step.expect(kept, "what was written is in it, the archived conversation too")
        step.expect(SLIP not in content, "what was deleted is not")
    async with tell.step("One byte of a message is flipped") as step:
        _flip_a_byte(folder / MESSAGES)
        findings = verify(folder, keys)
        step.expect(bool(findings), f"verification fails: {findings[0] if findings else 'not'}")


async def _built(stage: Stage, ops: Caller, export_id: str) -> export_pb2.Export:
    for _ in range(_LOOKS):
        export = await get_export(stage.suite, ops, export_id)
        if export.state not in _BUILDING:
            return export
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    raise Failed(f"the export was not built within {_LOOKS * _LOOK_EVERY_SECONDS:.0f} s")


def _texts(folder: Path) -> list[str]:
    with (folder / MESSAGES).open() as file:
        return [json.loads(line)["text"] for line in file]


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
