"""The directory that a stack lives in: who holds it, what it remembers, what it keeps secret."""

import fcntl
import json
import os
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import TextIO

from deploy.local import nats
from deploy.local.databases import ROLES
from deploy.local.ports import SERVICES


class AlreadyRunning(Exception):
    """Another process runs a stack in this directory."""

    def __init__(self, pid: int) -> None:
        super().__init__(
            f"The suite of this checkout is running already, as process {pid}. "
            "`make stop` ends it; `make reset` also deletes its data."
        )
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Secrets:
    """What was thrown with dice at the first start."""

    postgres: str
    databases: Mapping[str, Mapping[str, str]]
    nats: Mapping[str, str]
    sealing: Mapping[str, str]

    def __repr__(self) -> str:
        return "Secrets(***)"


@dataclass(frozen=True, slots=True)
class State:
    """Paths in the state directory."""

    directory: Path

    @property
    def keys(self) -> Path:
        return self.directory / "keys"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def mailbox(self) -> Path:
        return self.directory / "mailbox"

    @property
    def pushes(self) -> Path:
        return self.directory / "pushes"

    @property
    def nats(self) -> Path:
        return self.directory / "nats"

    @property
    def summary(self) -> Path:
        """Where everything is, for other programs; there only while the stack runs."""
        return self.directory / "stack.json"

    def note_running(self, summary: Mapping[str, object]) -> None:
        self.summary.write_text(json.dumps(summary, indent=2))

    def note_ended(self) -> None:
        self.summary.unlink(missing_ok=True)

    def was_killed(self) -> bool:
        """Whether the last stack here had no time to say that it ended."""
        return self.summary.exists()

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process out; raises AlreadyRunning where one is in."""
        self.directory.mkdir(parents=True, exist_ok=True)
        # PostgreSQL may run under an account that has to get through, though not look around.
        self.directory.chmod(0o711)
        with self.lock.open("a+") as file:
            if not _try_lock(file):
                raise AlreadyRunning(_number_in(file))
            file.truncate(0)
            print(os.getpid(), file=file, flush=True)
            yield

    def holder(self) -> int | None:
        """The process that runs a stack here, or None."""
        if not self.lock.exists():
            return None
        with self.lock.open("a+") as file:
            return None if _try_lock(file) else _number_in(file)

    def wait_until_free(self) -> None:
        with self.lock.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    def secrets(self) -> Secrets:
        path = self.directory / "secrets.json"
        if not path.exists():
            write_secret(path, json.dumps(asdict(_new_secrets()), indent=2))
        return Secrets(**json.loads(path.read_text()))

    def recall(self, name: str) -> str:
        """What note() said last under this name; empty if nothing."""
        path = self.directory / f"{name}.note"
        return path.read_text() if path.exists() else ""

    def note(self, name: str, text: str) -> None:
        (self.directory / f"{name}.note").write_text(text)


def write_secret(path: Path, text: str) -> None:
    """Whole or not at all, and never readable to others, not even for a moment."""
    partial = path.with_name(f"{path.name}.new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.rename(path)


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _number_in(file: TextIO) -> int:
    """The holder's process number, which it writes once it has the lock."""
    file.seek(0)
    return int(file.read())


def _new_secrets() -> Secrets:
    return Secrets(
        postgres=token_hex(16),
        databases={service: {role: token_hex(16) for role in ROLES} for service in SERVICES},
        nats={user: token_hex(16) for user in (*SERVICES, nats.OPERATOR)},
        sealing={service: b64encode(token_bytes(32)).decode() for service in SERVICES},
    )
