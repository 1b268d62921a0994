"""How checkpoints and conversations that are told stand in their rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row

from services.chassis.json_rows import to_json
from services.export.domain.job import Checkpoint, Mark
from services.export.domain.stream import Archival, Conversation, Place, Told


def checkpoint_json(checkpoint: Checkpoint) -> str:
    return to_json(asdict(checkpoint))


def to_checkpoint(stored: str | None) -> Checkpoint | None:
    if stored is None:
        return None
    members = json.loads(stored)
    place = members["place"]
    return Checkpoint(
        mark=Mark(**members["mark"]),
        place=None
        if place is None
        else Place(
            conversation_id=UUID(place["conversation_id"]),
            sequence=place["sequence"],
            tombstones=place["tombstones"],
        ),
        conversations=members["conversations"],
        all_told=members["all_told"],
    )


def told_json(told: Sequence[Told], profile_names: Mapping[UUID, str]) -> str:
    """Rows of export_conversations; whom nobody knows any more has the empty name."""
    rows = [
        {
            "conversation_id": each.conversation.id,
            "profile_id": each.conversation.profile_id,
            "profile_name": profile_names.get(each.conversation.profile_id, ""),
            "created_at": each.conversation.created_at,
            "archivals": [asdict(archival) for archival in each.conversation.archivals],
            "messages": each.messages,
            "tombstones": each.tombstones,
        }
        for each in told
    ]
    return to_json(rows)


def to_told(row: Row[tuple[object, ...]]) -> Told:
    conversation = Conversation(
        id=row.conversation_id,
        profile_id=row.profile_id,
        created_at=row.created_at,
        archivals=[_to_archival(members) for members in json.loads(row.archivals)],
    )
    return Told(conversation, row.messages, row.tombstones)


def _to_archival(members: Mapping[str, str]) -> Archival:
    ended_at = members["ended_at"]
    return Archival(
        cause=members["cause"],
        cause_id=UUID(members["cause_id"]),
        started_at=datetime.fromisoformat(members["started_at"]),
        ended_at=None if ended_at is None else datetime.fromisoformat(ended_at),
    )
