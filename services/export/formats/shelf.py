"""Where exports stand: one folder each, and beside it the drafts of attempts that are under way.

    <root>/<export id>/                       whole, put there by one rename
    <root>/<export id>.<lease id>.draft/      what one attempt writes

Every attempt has a draft of its own, so that one that was taken for dead cannot spoil another's.
All of it is readable by this service's own user only. These functions wait for the disk: call them
in a thread.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from services.chassis.settings import RefusedToStart
from services.export.domain.job import Mark
from services.export_format.layout import FILES

CHUNK_BYTES = 256 * 1024
_DRAFT = "draft"


@dataclass(frozen=True, slots=True)
class Draft:
    """The folder of one attempt."""

    export_id: UUID
    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, data: bytes) -> None:
        """A whole file, on the disk when this returns."""
        descriptor = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def hash_of(self, name: str) -> str:
        """SHA-256 of a file, in hexadecimal."""
        with self.path(name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class Shelf:
    """Raises RefusedToStart where its folder cannot be made or written to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RefusedToStart(f"{root} cannot be made: {error.strerror}") from error
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
            raise RefusedToStart(f"{root} cannot be read and written to")

    def open_draft(self, export_id: UUID, lease_id: UUID) -> Draft:
        draft = self._draft(export_id, lease_id)
        draft.folder.mkdir(mode=0o700, exist_ok=True)
        return draft

    def take_over(self, draft: Draft, earlier_lease_id: UUID, name: str, mark: Mark) -> bool:
        """Copy a file of an earlier attempt, as far as it is known to be complete.

        False where that attempt left less, or left it on another machine.
        """
        source = self._draft(draft.export_id, earlier_lease_id).path(name)
        try:
            with source.open("rb") as file:
                if os.fstat(file.fileno()).st_size < mark.bytes:
                    return False
                _copy(file, draft.path(name), mark.bytes)
        except FileNotFoundError:
            return False
        return True

    def publish(self, draft: Draft) -> None:
        """Make a finished draft the export, in one step; a second one of the same changes nothing.

        Two attempts that finish have written the same bytes.
        """
        _sync_folder(draft.folder)
        try:
            draft.folder.rename(self._whole(draft.export_id))
        except OSError as error:
            # An attempt that was taken for dead finished first.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        _sync_folder(self._root)
        self.remove_drafts(draft.export_id)

    def holds(self, export_id: UUID) -> bool:
        """Whether the export is here, whole."""
        return self._whole(export_id).exists()

    @contextmanager
    def opened(self, export_id: UUID) -> Iterator[Sequence[tuple[str, BinaryIO]]]:
        """Every file with its name; one that is deleted meanwhile can still be read to its end."""
        with ExitStack() as held:
            folder = self._whole(export_id)
            yield [(name, held.enter_context((folder / name).open("rb"))) for name in FILES]

    def export_ids(self) -> set[UUID]:
        """The exports of which something is here."""
        found = set()
        for path in self._root.iterdir():
            with suppress(ValueError):
                found.add(UUID(path.name.partition(".")[0]))
        return found

    def remove(self, export_id: UUID) -> None:
        """All of an export; nothing where there is nothing."""
        self.remove_drafts(export_id)
        shutil.rmtree(self._whole(export_id), ignore_errors=True)

    def remove_drafts(self, export_id: UUID, *, but: Draft | None = None) -> None:
        for folder in self._root.glob(f"{export_id}.*.{_DRAFT}"):
            if but is None or folder != but.folder:
                shutil.rmtree(folder, ignore_errors=True)

    def _whole(self, export_id: UUID) -> Path:
        return self._root / str(export_id)

    def _draft(self, export_id: UUID, lease_id: UUID) -> Draft:
        return Draft(export_id, self._root / f"{export_id}.{lease_id}.{_DRAFT}")


def _copy(source: BinaryIO, target: Path, size: int) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while size > 0:
            chunk = source.read(min(CHUNK_BYTES, size))
            file.write(chunk)
            size -= len(chunk)


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
