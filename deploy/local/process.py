"""One program that belongs to us: started on a leash, its output in a file, its end awaited."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

_LEASH = Path(__file__).with_name("leash.py")


async def at_once() -> bool:
    """A part that is ready from its first moment."""
    return True


@dataclass(frozen=True, slots=True)
class Part:
    """How one program of the stack is started, known to be ready, and stopped."""

    name: str
    command: tuple[str, ...]
    log: Path
    ready: Callable[[], Awaitable[bool]] = at_once
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    stop_signal: Signals = signal.SIGTERM
    # Seconds between the stop signal and SIGKILL.
    grace: float = 15.0
    # Exit codes that say: trying again changes nothing.
    refusals: frozenset[int] = frozenset()
    # The account it runs under, when that is not our own.
    account: str | None = None


class Process:
    """A running part. Signals reach the processes that it started too."""

    def __init__(self, part: Part, process: asyncio.subprocess.Process) -> None:
        self.part = part
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    async def ended(self) -> int:
        return await self._process.wait()

    def signal(self, number: Signals) -> None:
        for pid in [self.pid, *descendants(self.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.ended()

    async def terminate(self) -> None:
        """Ask it to end; after its grace, kill it."""
        with suppress(ProcessLookupError):
            self.signal(signal.SIGCONT)
            self._process.send_signal(self.part.stop_signal)
        try:
            await asyncio.wait_for(self.ended(), self.part.grace)
        except TimeoutError:
            await self.kill()


def leashed(*command: str, by: Signals, account: str | None = None) -> tuple[str, ...]:
    """A command that gets the signal `by` when this process is gone, whatever ended it."""
    leash = (sys.executable, "-I", "-S", str(_LEASH))
    return (*leash, str(int(by)), str(os.getpid()), account or "-", *command)


async def start(part: Part) -> Process:
    command = leashed(*part.command, by=part.stop_signal, account=part.account)
    # In append mode, so that a log may be cut short while it is written.
    with part.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(part.environment),
            cwd="/" if part.account else None,
            start_new_session=True,
        )
    return Process(part, process)


async def run(part: Part) -> int:
    """The exit code of a program that runs to its end; a cancelled caller kills it."""
    process = await start(part)
    try:
        return await process.ended()
    finally:
        if process.exit_code is None:
            await process.kill()


def descendants(pid: int) -> list[int]:
    """The processes that this one started, and those that they started, as they are now."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The program's name stands in parentheses and may hold anything, parentheses too.
            after_name = entry.read_text().rpartition(")")[2].split()
            yield int(entry.parent.name), int(after_name[1])
