"""The pushes that came, in memory and in one file, so that a restart keeps them."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Push:
    """`answered` is false where the sender never heard that it was taken."""

    id: str
    received_at: str
    service: str
    token: str
    headers: Mapping[str, str]
    payload: Mapping[str, object]
    answered: bool

    def as_json(self) -> dict[str, object]:
        return asdict(self)


class Pushes:
    """Newest first; an id says when its push came."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = directory / "pushes.jsonl"
        self._pushes = _stored(self._file)

    def add(
        self,
        service: str,
        token: str,
        *,
        headers: Mapping[str, str],
        payload: Mapping[str, object],
        at: datetime,
        answered: bool,
    ) -> None:
        id = f"{at:%Y%m%dT%H%M%S%f}-{len(self._pushes)}"
        push = Push(id, at.isoformat(), service, token, headers, payload, answered)
        with open(self._file, "a", opener=_private) as file:
            file.write(json.dumps(push.as_json()) + "\n")
        self._pushes.append(push)

    def list(self, *, to: str = "", after: str = "") -> list[Push]:
        """All, or those to one token, or those that came after another."""
        newer = takewhile(lambda push: push.id != after, reversed(self._pushes))
        return [push for push in newer if not to or push.token == to]

    def clear(self) -> None:
        self._pushes.clear()
        self._file.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _stored(path: Path) -> list[Push]:
    if not path.exists():
        return []
    # The last line may lack its end, if the machine stopped in its midst.
    whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [Push(**json.loads(line)) for line in whole]
