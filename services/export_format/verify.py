"""Is a folder a whole and genuine export? Asked offline, of the folder and the public key alone.

The folder is not trusted: nothing in it is followed or read without a bound.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar

from services.export_format.layout import (
    CONVERSATION_MEMBERS,
    CONVERSATIONS,
    FILES,
    LINE_BYTES,
    LINES,
    MANIFEST,
    MESSAGE_MEMBERS,
    MESSAGES,
    NO_LINE,
    SIGNATURE,
    Counts,
    FileFacts,
    Manifest,
    Record,
    decode_manifest,
    hash_of,
)
from services.export_format.signature import Keys, is_signed

Place = TypeVar("Place")

_MANIFEST_BYTES = 256 * 1024 * 1024
_SIGNATURE_BYTES = 4 * 1024


class Problem(StrEnum):
    """What can be wrong, in words for a person."""

    MISSING = "is missing, or is not a plain file"
    UNEXPECTED = "does not belong to an export"
    NOT_A_MANIFEST = "is not a manifest that this version knows"
    NOT_SIGNED = "does not sign this manifest with a key that was given"
    OTHER_SIZE = "is not as long as the manifest says"
    OTHER_HASH = "is not the file that the manifest was made of"
    OTHER_COUNTS = "does not hold what the manifest counts"
    BROKEN_CHAIN = "does not carry the hash of the line before"
    NOT_A_LINE = "is not a line of this format"
    OUT_OF_ORDER = "is not the line that comes next"
    AFTER_CUTOFF = "tells of something after the cut-off"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong; `line` is 0 where it concerns the file as a whole."""

    file: str
    problem: Problem
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}," if self.line else self.file
        return f"{place} {self.problem}"


class _Wrong(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def verify(folder: Path, keys: Keys) -> list[Finding]:
    """Everything found wrong; nothing where the export is whole and signed with one of the keys.

    Of each file the first thing wrong inside it is told. Memory does not grow with the messages.
    Raises OSError where the folder cannot be read.
    """
    findings = list(_strangers(folder))
    manifest_bytes = _content(folder / MANIFEST, _MANIFEST_BYTES)
    signature = _content(folder / SIGNATURE, _SIGNATURE_BYTES)
    if manifest_bytes is None:
        findings.append(Finding(MANIFEST, Problem.MISSING))
    if signature is None:
        findings.append(Finding(SIGNATURE, Problem.MISSING))
    if manifest_bytes is None:
        return findings
    if signature is not None and not is_signed(manifest_bytes, signature, keys):
        findings.append(Finding(SIGNATURE, Problem.NOT_SIGNED))
    try:
        manifest = decode_manifest(manifest_bytes)
    except ValueError:
        return [*findings, Finding(MANIFEST, Problem.NOT_A_MANIFEST)]
    return findings + list(_findings_in(folder, manifest))


def _strangers(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.iterdir()):
        if path.name not in FILES:
            yield Finding(path.name, Problem.UNEXPECTED)


def _content(path: Path, most: int) -> bytes | None:
    """A small file's bytes; None where it is absent, too large or not a plain file."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > most:
        return None
    return path.read_bytes()


class LineCheck(Protocol):
    """What the lines of one file have to be, one after another."""

    def take(self, record: Record) -> None:
        """Raises _Wrong."""
        ...

    def complete(self) -> bool:
        """Whether all that the manifest counts has come."""
        ...


def _findings_in(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    if set(manifest.files) != set(LINES):
        yield Finding(MANIFEST, Problem.NOT_A_MANIFEST)
        return
    checks: Mapping[str, LineCheck] = {
        MESSAGES: _MessageLines(manifest),
        CONVERSATIONS: _ConversationLines(manifest),
    }
    for name, check in checks.items():
        path, facts = folder / name, manifest.files[name]
        if path.is_symlink() or not path.is_file():
            yield Finding(name, Problem.MISSING)
        elif path.stat().st_size != facts.bytes:
            yield Finding(name, Problem.OTHER_SIZE)
        else:
            yield from _findings_in_lines(path, facts, check)


def _findings_in_lines(path: Path, facts: FileFacts, check: LineCheck) -> Iterator[Finding]:
    digest, previous, number = hashlib.sha256(), NO_LINE, 0
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES):
            digest.update(line)
            number += 1
            try:
                check.take(_record(line, previous))
            except _Wrong as wrong:
                yield Finding(path.name, wrong.problem, number)
                return
            previous = hash_of(line[:-1])
    if digest.hexdigest() != facts.sha256 or previous != facts.last_line:
        yield Finding(path.name, Problem.OTHER_HASH)
    if number != facts.lines or not check.complete():
        yield Finding(path.name, Problem.OTHER_COUNTS)


def _record(line: bytes, previous: str) -> Record:
    try:
        record = json.loads(line[:-1])
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or not line.endswith(b"\n"):
        raise _Wrong(Problem.NOT_A_LINE)
    if record.get("previous_line_sha256") != previous:
        raise _Wrong(Problem.BROKEN_CHAIN)
    return record


class _MessageLines:
    """Messages stand in the order of the manifest's conversations, each from 1 without a gap."""

    def __init__(self, manifest: Manifest) -> None:
        self._cutoff_at = manifest.cutoff_at
        self._places = (
            (counts, sequence)
            for counts in manifest.conversations
            for sequence in range(1, counts.messages + 1)
        )
        self._tombstones = 0

    def take(self, record: Record) -> None:
        _check_members(record, MESSAGE_MEMBERS)
        counts, sequence = _next(self._places)
        if (record["conversation_id"], record["sequence"]) != (counts.conversation_id, sequence):
            raise _Wrong(Problem.OUT_OF_ORDER)
        if (record["text"] is None) != (record["deleted_at"] is not None):
            raise _Wrong(Problem.NOT_A_LINE)
        self._check_tombstones(counts, sequence, deleted=record["text"] is None)
        _check_time(record["sent_at"], self._cutoff_at)
        if record["read_at"] is not None:
            _check_time(record["read_at"], self._cutoff_at)

    def complete(self) -> bool:
        return next(self._places, None) is None

    def _check_tombstones(self, counts: Counts, sequence: int, *, deleted: bool) -> None:
        self._tombstones = deleted + (0 if sequence == 1 else self._tombstones)
        if sequence == counts.messages and self._tombstones != counts.tombstones:
            raise _Wrong(Problem.OTHER_COUNTS)


class _ConversationLines:
    """Conversations stand in the order of their ids, which is that of the manifest."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._places = iter(manifest.conversations)
        self._last = ""

    def take(self, record: Record) -> None:
        _check_members(record, CONVERSATION_MEMBERS)
        counts = _next(self._places)
        if (
            counts.conversation_id != record["conversation_id"]
            or counts.conversation_id <= self._last
        ):
            raise _Wrong(Problem.OUT_OF_ORDER)
        self._last = counts.conversation_id
        if (record["messages"], record["tombstones"]) != (counts.messages, counts.tombstones):
            raise _Wrong(Problem.OTHER_COUNTS)
        if record["staff_id"] != self._manifest.staff_id:
            raise _Wrong(Problem.NOT_A_LINE)
        _check_time(record["created_at"], self._manifest.cutoff_at)

    def complete(self) -> bool:
        return next(self._places, None) is None


def _check_members(record: Record, names: tuple[str, ...]) -> None:
    if tuple(record) != names:
        raise _Wrong(Problem.NOT_A_LINE)


def _next(places: Iterator[Place]) -> Place:
    """Where the next line belongs; there is none after the last that the manifest counts."""
    place = next(places, None)
    if place is None:
        raise _Wrong(Problem.OTHER_COUNTS)
    return place


def _check_time(at: object, cutoff_at: str) -> None:
    if not isinstance(at, str):
        raise _Wrong(Problem.NOT_A_LINE)
    if at > cutoff_at:
        raise _Wrong(Problem.AFTER_CUTOFF)
