"""What the files of an export are called and what stands in them.

    messages.jsonl        every message, by conversation id and sequence
    conversations.jsonl   every conversation, by id
    manifest.json         what the export is, and size, hash and counts of the two
    manifest.sig          a detached JWS (RFC 7515, appendix F) over the bytes of manifest.json

Each line of a .jsonl file is one JSON object that ends with a line feed. Its first member is the
SHA-256 of the line before, without the line feed, so that no line can be changed, left out, added
or moved without changing every line after it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

FORMAT = "clinic-messages-export"
VERSION = 1

MESSAGES = "messages.jsonl"
CONVERSATIONS = "conversations.jsonl"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
LINES = (MESSAGES, CONVERSATIONS)
FILES = (*LINES, MANIFEST, SIGNATURE)

# What the first line of a file has in the place of the hash of the line before.
NO_LINE = "0" * 64
# A message of 10,000 characters, each of which JSON may write in six.
LINE_BYTES = 256 * 1024

MESSAGE_MEMBERS = (
    "previous_line_sha256",
    "conversation_id",
    "sequence",
    "message_id",
    "sender_side",
    "sender_id",
    "sent_at",
    "text",
    "deleted_at",
    "read_at",
)
CONVERSATION_MEMBERS = (
    "previous_line_sha256",
    "conversation_id",
    "staff_id",
    "staff_name",
    "profile_id",
    "profile_name",
    "created_at",
    "archivals",
    "messages",
    "tombstones",
)
_NOTE = (
    "Holds what was sent and read up to cutoff_at. Later messages are in no file here: they wait"
    " for the next export. A deleted message is a tombstone without its text. An archival without"
    " an end was in force at cutoff_at."
)

Record = Mapping[str, object]


def line_of(previous: str, record: Record) -> bytes:
    """One line, without its line feed; the same record always gives the same bytes."""
    members = {"previous_line_sha256": previous, **record}
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def hash_of(line: bytes) -> str:
    """What the next line has to carry; of the bytes without the line feed."""
    return hashlib.sha256(line).hexdigest()


def time_of(at: datetime) -> str:
    """In UTC and always with microseconds, so that times sort as texts."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """`last_line` is the hash that a further line would carry."""

    bytes: int
    lines: int
    sha256: str
    last_line: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages a conversation has here, and how many of them are tombstones."""

    conversation_id: str
    messages: int
    tombstones: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    export_id: str
    clinic_id: str
    scope: str
    staff_id: str
    staff_name: str
    requested_at: str
    cutoff_at: str
    files: Mapping[str, FileFacts]
    conversations: Sequence[Counts]

    def encode(self) -> bytes:
        """The bytes of manifest.json: of nothing but these facts, so a repeat gives the same."""
        return (json.dumps(self._members(), ensure_ascii=False, indent=2) + "\n").encode()

    def _members(self) -> Record:
        return {
            "format": FORMAT,
            "version": VERSION,
            "note": _NOTE,
            "export_id": self.export_id,
            "clinic_id": self.clinic_id,
            "scope": self.scope,
            "staff_id": self.staff_id,
            "staff_name": self.staff_name,
            "requested_at": self.requested_at,
            "cutoff_at": self.cutoff_at,
            "totals": {
                "conversations": len(self.conversations),
                "messages": sum(counts.messages for counts in self.conversations),
                "tombstones": sum(counts.tombstones for counts in self.conversations),
            },
            "files": {
                name: {
                    "bytes": facts.bytes,
                    "lines": facts.lines,
                    "sha256": facts.sha256,
                    "last_line_sha256": facts.last_line,
                }
                for name, facts in self.files.items()
            },
            "conversations": [
                {
                    "conversation_id": counts.conversation_id,
                    "messages": counts.messages,
                    "tombstones": counts.tombstones,
                }
                for counts in self.conversations
            ],
        }


def decode_manifest(data: bytes) -> Manifest:
    """Raises ValueError for anything that `Manifest.encode` of this version does not make."""
    try:
        manifest = _manifest_of(_object(json.loads(data)))
        encoded = manifest.encode()
    except (KeyError, RecursionError) as error:
        raise ValueError("not a manifest") from error
    if encoded != data:
        raise ValueError("not a manifest of this version")
    return manifest


def _manifest_of(members: Record) -> Manifest:
    files, conversations = _object(members["files"]), members["conversations"]
    if not isinstance(conversations, list):
        raise ValueError("a list is expected")
    return Manifest(
        export_id=_text(members["export_id"]),
        clinic_id=_text(members["clinic_id"]),
        scope=_text(members["scope"]),
        staff_id=_text(members["staff_id"]),
        staff_name=_text(members["staff_name"]),
        requested_at=_text(members["requested_at"]),
        cutoff_at=_text(members["cutoff_at"]),
        files={name: _facts_of(_object(facts)) for name, facts in files.items()},
        conversations=[_counts_of(_object(counts)) for counts in conversations],
    )


def _facts_of(members: Record) -> FileFacts:
    return FileFacts(
        _number(members["bytes"]),
        _number(members["lines"]),
        _text(members["sha256"]),
        _text(members["last_line_sha256"]),
    )


def _counts_of(members: Record) -> Counts:
    return Counts(
        _text(members["conversation_id"]),
        _number(members["messages"]),
        _number(members["tombstones"]),
    )


def _object(value: object) -> Record:
    if not isinstance(value, dict):
        raise ValueError("an object is expected")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is expected")
    return value


def _number(value: object) -> int:
    if type(value) is not int:
        raise ValueError("a whole number is expected")
    return value
