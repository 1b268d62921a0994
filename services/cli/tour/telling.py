"""How the tour is told: chapters of steps, each with its calls, what was seen, and ✓ or ✗."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rich.console import RenderableType
from rich.text import Text

from services.cli.failures import Failed, Refused
from services.cli.output import plain
from services.cli.suite import Heard

Show = Callable[[RenderableType], None]


class StoryEnded(Exception):
    """A step could not be taken, so that the rest makes no sense; it was told already."""


@dataclass
class Step:
    """One thing that happens. It holds if all that was seen is as expected."""

    title: str
    calls: list[Heard] = field(default_factory=list)
    seen: list[tuple[bool, str]] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return bool(self.seen) and all(expected for expected, _ in self.seen)

    def expect(self, holds: bool, sight: str) -> None:
        """`sight` says what is to be seen; it is shown with ✗ where it was not so."""
        self.seen.append((holds, sight))

    def expect_refusal(self, refused: Refused | None, *reasons: str) -> None:
        """The call before was refused, for one of these reasons."""
        if refused is None:
            self.expect(False, f"refused ({' or '.join(reasons)}), but it was granted")
        else:
            words = f"refused: {refused.code}, {refused.reason}"
            expected = refused.reason in reasons
            self.expect(expected, words if expected else f"{' or '.join(reasons)}, but {words}")


class Narrator:
    """Keeps count, and tells each step when it is over."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._step: Step | None = None
        self.steps = 0
        self.broken: list[str] = []

    def heard(self, call: Heard) -> None:
        if self._step is not None:
            self._step.calls.append(call)

    def chapter(self, title: str) -> None:
        self._show(Text.assemble("\n", (title, "bold")))

    @asynccontextmanager
    async def step(self, title: str) -> AsyncIterator[Step]:
        self._step = step = Step(title)
        try:
            yield step
        except Failed as failed:
            step.expect(False, str(failed))
            raise StoryEnded from failed
        finally:
            self._step = None
            self._tell(step)

    def _tell(self, step: Step) -> None:
        self.steps += 1
        if not step.holds:
            self.broken.append(step.title)
        self._show(Text.assemble("\n  ", _mark(step.holds), f" {step.title}"))
        for words, times in _counted(_words_of(call) for call in step.calls):
            self._show(plain(f"      call  {words}{times}"))
        for words, times in _counted(sight for expected, sight in step.seen if expected):
            self._show(plain(f"      seen  {words}{times}"))
        for words, times in _counted(sight for expected, sight in step.seen if not expected):
            self._show(Text(plain(f"      not so: {words}{times}").plain, style="red"))


def _words_of(call: Heard) -> str:
    outcome = f" → {call.reason}" if call.reason else ""
    return f"{call.method}, as {call.caller}{outcome}"


def _counted(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Equal lines once, in the order of their first, each with how often it came."""
    for line, times in Counter(line.replace("\n", " ") for line in lines).items():
        yield line, "" if times == 1 else f" ({times} times)"


def _mark(holds: bool) -> Text:
    return Text("✓", style="green") if holds else Text("✗", style="bold red")
