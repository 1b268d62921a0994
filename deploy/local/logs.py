"""What the parts say, on the terminal: warnings and worse, each line with its part's name."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL_SECONDS = 0.2
_LOUD_LEVELS = frozenset({"warning", "error", "critical"})
# PostgreSQL's and NATS's own ways to say it.
_LOUD_WORDS = re.compile(r"\b(WARNING|ERROR|FATAL|PANIC):|\[(WRN|ERR|FTL)\]|^Traceback \(")
# PostgreSQL says the first of every connection that comes while it starts or stops; NATS the second
# of passwords that stand in a file, which here only its owner can read.
_EXPECTED = re.compile(
    r"FATAL: .*the database system is (starting up|shutting down|not yet accepting connections)"
    r"|\[WRN\] Plaintext passwords"
)
_LONGEST_LINE = 400


async def follow(directory: Path, tell: Callable[[str], None]) -> None:
    """For ever: tell what is loud among the lines that are added from now on."""
    places = {file: file.stat().st_size for file in _files(directory)}
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        for file in _files(directory):
            for line in _added(file, places):
                if is_loud(line):
                    tell(f"{file.stem} | {line[:_LONGEST_LINE]}")


def is_loud(line: str) -> bool:
    """A line of JSON says its level; of other lines those are loud that speak of trouble."""
    try:
        return str(json.loads(line)["level"]) in _LOUD_LEVELS
    except (ValueError, TypeError, KeyError):
        pass
    return bool(_LOUD_WORDS.search(line)) and not _EXPECTED.search(line)


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.log"))


def _added(file: Path, places: dict[Path, int]) -> Iterator[str]:
    """The whole lines added since the last time."""
    with file.open("rb") as log:
        log.seek(places.get(file, 0))
        for line in log:
            if not line.endswith(b"\n"):
                return
            places[file] = places.get(file, 0) + len(line)
            yield line.decode(errors="replace").rstrip()
