"""A stream of bytes, cut anywhere, as the lines of a file."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

MOST_BYTES = 256 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Whether a record that has come so far goes on behind this line's end.
GoesOn = Callable[[bytes, bool], bool]


@dataclass(frozen=True, slots=True)
class Record:
    """One or more lines; `content` is None for a record that is too long."""

    line: int
    content: bytes | None


def ends_with_its_line(line: bytes, open: bool) -> bool:
    """For formats whose records are single lines."""
    return False


async def records(
    chunks: AsyncIterator[bytes], goes_on: GoesOn = ends_with_its_line
) -> AsyncIterator[Record]:
    """The records that are not empty, without their line ends; holds one of them at a time."""
    cutter = _Cutter(goes_on)
    async for line in _lines(chunks):
        record = cutter.add(line)
        if record is not None:
            yield record
    rest = cutter.rest()
    if rest is not None:
        yield rest


class _Cutter:
    """Puts lines together where a record goes on behind the end of one."""

    def __init__(self, goes_on: GoesOn) -> None:
        self._goes_on = goes_on
        self._number = 0
        self._begins = 1
        self._kept: list[bytes] = []
        self._bytes = 0
        self._open = False

    def add(self, line: bytes) -> Record | None:
        """The record that this line ends, if it is one."""
        self._number += 1
        if not self._open:
            self._begins = self._number
        self._kept.append(line)
        self._bytes += len(line)
        # A record that is too long ends here: a stray quote must not take the rest of the file.
        self._open = self._bytes <= MOST_BYTES and self._goes_on(line, self._open)
        return None if self._open else self.rest()

    def rest(self) -> Record | None:
        """What has come of a record; nothing for an empty one."""
        content = b"".join(self._kept).rstrip(b"\r\n")
        too_long = self._bytes > MOST_BYTES
        self._kept, self._bytes, self._open = [], 0, False
        if too_long:
            return Record(self._begins, None)
        return Record(self._begins, content) if content.strip() else None


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines with their ends; of one that is too long no more than shows that it is."""
    held = b""
    async for chunk in _without_mark(chunks):
        *whole, rest = (held + chunk).split(b"\n")
        for line in whole:
            yield line[: MOST_BYTES + 1] + b"\n"
        held = rest[: MOST_BYTES + 1]
    if held:
        yield held


async def _without_mark(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Without the byte order mark that some systems put first, however it was cut."""
    first = b""
    begun = False
    async for chunk in chunks:
        if begun:
            yield chunk
            continue
        first += chunk
        if len(first) >= len(_BYTE_ORDER_MARK):
            begun = True
            yield first.removeprefix(_BYTE_ORDER_MARK)
    if not begun:
        yield first.removeprefix(_BYTE_ORDER_MARK)
