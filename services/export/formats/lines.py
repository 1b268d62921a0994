"""Writing a file of chained lines, from its start or from where it is known to be complete."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from services.export.domain.job import Mark
from services.export_format.layout import Record, hash_of, line_of

_BUFFER_BYTES = 256 * 1024


class ChainedFile:
    """A context manager. What stands in the file behind `start` is cut off."""

    def __init__(self, path: Path, start: Mark) -> None:
        flags = os.O_RDWR | os.O_CREAT
        self._file = os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=_BUFFER_BYTES)
        self._file.truncate(start.bytes)
        self._file.seek(start.bytes)
        self._mark = start

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def mark(self) -> Mark:
        """How far it is written; safe only once `sync` returned it."""
        return self._mark

    def add(self, record: Record) -> None:
        line = line_of(self._mark.link, record)
        self._file.write(line + b"\n")
        self._mark = Mark(self._mark.bytes + len(line) + 1, self._mark.lines + 1, hash_of(line))

    def sync(self) -> Mark:
        """Returns once all of it is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._mark
