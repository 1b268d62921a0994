"""Files of people as an import takes them: in chunks, FHIR as one resource a line."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from os import SEEK_END
from pathlib import Path

from services.cli.failures import Failed

_CHUNK_BYTES = 48 * 1024
_OF_PEOPLE = frozenset({"Patient", "Practitioner", "RelatedPerson"})


@dataclass(frozen=True, slots=True)
class Upload:
    """What is sent of a file, as often as it is read; `size` is in bytes."""

    size: int
    read: Callable[[], Iterator[bytes]]


def upload_of(file: Path) -> Upload:
    """The file as it is, or a JSON document taken apart. Raises Failed where it cannot be read."""
    try:
        size = _readable_bytes(file)
        document = _document(file) if file.suffix.lower() == ".json" else None
    except OSError as error:
        raise Failed(f"{file} cannot be read: {error.strerror}.") from error
    if document is None:
        return Upload(size, partial(_read, file))
    lines = b"".join(_lines(document))
    return Upload(len(lines), partial(_cut, lines))


def _readable_bytes(file: Path) -> int:
    """Its size; asked of the open file, so that what may not be read is told before it is sent."""
    with file.open("rb") as opened:
        return opened.seek(0, SEEK_END)


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            yield chunk


def _cut(lines: bytes) -> Iterator[bytes]:
    for start in range(0, len(lines), _CHUNK_BYTES):
        yield lines[start : start + _CHUNK_BYTES]


def _document(file: Path) -> dict[str, object] | None:
    """One resource or Bundle, written over many lines; None for a file of lines."""
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _lines(document: dict[str, object]) -> Iterable[bytes]:
    """A line a resource, in order, so that the number of a line is that of a Bundle's entry."""
    if document.get("resourceType") != "Bundle":
        return [_line(document)]
    entries = document.get("entry")
    return [_line(_resource(entry)) for entry in (entries if isinstance(entries, list) else [])]


def _resource(entry: object) -> object:
    """What an import looks at: what is not a person goes out with no more than its type."""
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(resource, dict) or resource.get("resourceType") in _OF_PEOPLE:
        return resource
    return {"resourceType": resource.get("resourceType")}


def _line(resource: object) -> bytes:
    return json.dumps(resource, ensure_ascii=False).encode() + b"\n"
