"""Merges of patients after a replay, and the undoing of half of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from clinic.directory.v1 import directory_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.actor import Actor
from services.cli.confirming import confirmed
from services.cli.failures import Failed
from services.cli.replay.comparing import compare, out_of_reach
from services.cli.replay.population import Clinic, Scene


@dataclass(frozen=True, slots=True)
class Merged:
    merge_id: str
    survivor: Actor
    secondary: Actor


async def merge_a_tenth(clinic: Clinic, scenes: Sequence[Scene]) -> list[Merged]:
    """Merge a tenth of the patients who spoke, at least one, each into another."""
    patients = list({scene.patient.id: scene.patient for scene in scenes}.values())
    if len(patients) < 2:
        return []
    number = max(len(patients) // 10, 1)
    return [
        await _merge(clinic, survivor=patients[-1 - place], secondary=patients[place])
        for place in range(number)
    ]


async def unmerge(clinic: Clinic, merges: Sequence[Merged], scenes: Sequence[Scene]) -> None:
    """Undo these merges and sign their patients in again."""
    for merged in merges:
        request = pb.UnmergeProfilesRequest(merge_id=merged.merge_id, request_id=str(uuid7()))
        stub = clinic.desk.suite.directory.UnmergeProfiles
        if not (await confirmed(clinic.owner.caller, stub, request)).applied:
            raise Failed("An un-merge was not confirmed.")
        back = await clinic.sign_in(merged.secondary)
        for scene in scenes:
            if scene.patient.id == back.id:
                scene.patient = back


async def compare_merged(scenes: Sequence[Scene], merges: Sequence[Merged]) -> list[str]:
    """What each side may see while these merges stand."""
    hidden = {merged.secondary.id for merged in merges}
    found = await compare(scenes, merged=hidden)
    for merged in merges:
        theirs = [scene for scene in scenes if scene.patient.id == merged.secondary.id]
        found.extend(await out_of_reach(theirs, merged.survivor))
    return found


async def _merge(clinic: Clinic, *, survivor: Actor, secondary: Actor) -> Merged:
    request = pb.MergeProfilesRequest(
        primary_profile_id=survivor.id,
        secondary_profile_id=secondary.id,
        request_id=str(uuid7()),
    )
    stub = clinic.desk.suite.directory.MergeProfiles
    answer = await confirmed(clinic.owner.caller, stub, request)
    if not answer.applied:
        raise Failed("A merge was not confirmed.")
    return Merged(answer.merge.merge_id, survivor, secondary)
