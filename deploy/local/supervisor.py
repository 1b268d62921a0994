"""Keeps parts running: starts them, waits until they are ready, starts again those that die."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from signal import Signals

from deploy.local.process import Part, Process, start

Tell = Callable[[str], None]

_POLL_SECONDS = 0.05
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 0.2, 5.0
# A part that ran for so long has recovered from what ended it before.
_RECOVERED_SECONDS = 10.0
_TRIES_TO_START = 5
_LAST_WORDS = 20


class PartFailed(Exception):
    """A part did not become ready; the message ends with what it said last."""


class Supervisor:
    """The parts of one stack, by name. Every part named in a call has to have been started."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._keepers: dict[str, _Keeper] = {}

    async def start(self, part: Part, *, within: float = 60.0) -> None:
        """Returns when the part is ready; raises PartFailed when it ends early or takes longer."""
        self._keepers[part.name] = _Keeper(part, self._tell)
        await self.ready(part.name, within=within)

    async def again(self, name: str) -> None:
        """Start a part that was ended by term() or kill()."""
        await self.start(self._keepers[name].part)

    async def ready(self, name: str, *, within: float = 60.0) -> None:
        """As start(), for a part that runs already or is about to be started again."""
        keeper = self._keepers[name]
        try:
            async with asyncio.timeout(within):
                await keeper.ready()
        except TimeoutError:
            raise PartFailed(report(keeper.part, f"was not ready after {within:g} s")) from None

    async def kill(self, name: str) -> None:
        """SIGKILL, to the part and to what it started; it stays down."""
        await self._keepers[name].end(Process.kill)

    async def term(self, name: str) -> None:
        """Ask the part to end; it stays down."""
        await self._keepers[name].end(Process.terminate)

    def signal(self, name: str, number: Signals) -> None:
        self.process(name).signal(number)

    def process(self, name: str) -> Process:
        """The running process of a part; raises ProcessLookupError while it is down."""
        process = self._keepers[name].process
        if process is None or process.exit_code is not None:
            raise ProcessLookupError(f"{name} is not running")
        return process

    async def end(self, names: Iterable[str]) -> None:
        """End these parts together; those that never were started are passed over."""
        keepers = [self._keepers[name] for name in names if name in self._keepers]
        await asyncio.gather(*(keeper.end(Process.terminate) for keeper in keepers))


class _Keeper:
    """Runs one part again and again until it is told to end it."""

    def __init__(self, part: Part, tell: Tell) -> None:
        self.part = part
        self.process: Process | None = None
        self._tell = tell
        self._unwanted = asyncio.Event()
        self._starting = asyncio.Lock()
        self._ends = 0
        self._task = asyncio.create_task(self._keep(), name=f"keep {part.name}")

    async def ready(self) -> None:
        while not (self._runs() and await self.part.ready()):
            if self._ends >= _TRIES_TO_START or self._refused():
                await self.end(Process.kill)
                raise PartFailed(report(self.part, "ended before it was ready"))
            if self._task.done():
                await self._task
            await asyncio.sleep(_POLL_SECONDS)
        self._ends = 0

    def _refused(self) -> bool:
        return self.process is not None and self.process.exit_code in self.part.refusals

    def _runs(self) -> bool:
        return self.process is not None and self.process.exit_code is None

    async def end(self, how: Callable[[Process], Coroutine[None, None, None]]) -> None:
        self._unwanted.set()
        # A process that is just being made is waited for: nobody else would end it.
        async with self._starting:
            process = self.process
        if process is not None and process.exit_code is None:
            await how(process)
        await self._task

    async def _keep(self) -> None:
        back_off = _FIRST_BACK_OFF
        while not self._unwanted.is_set():
            began = time.monotonic()
            async with self._starting:
                self.process = await start(self.part)
            code = await self.process.ended()
            if self._unwanted.is_set():
                return
            self._ends += 1
            if time.monotonic() - began > _RECOVERED_SECONDS:
                back_off = _FIRST_BACK_OFF
            self._tell(
                f"{self.part.name} ended ({_reason(code)}); it is started again in {back_off:g} s. "
                f"What it said is in {self.part.log}."
            )
            await self._pause(back_off)
            back_off = min(2 * back_off, _LONGEST_BACK_OFF)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._unwanted.wait(), seconds)


def _reason(code: int) -> str:
    return f"killed by {Signals(-code).name}" if code < 0 else f"exit code {code}"


def report(part: Part, what: str) -> str:
    """What became of a part, and what it said last."""
    lines = part.log.read_text(errors="replace").splitlines()[-_LAST_WORDS:]
    return "\n".join([f"{part.name} {what}. The end of {part.log}:", *lines])
