"""`python -m deploy.demo [--people DIRECTORY --dialogues FILE [--count N]]`"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deploy.local.environment import of_program
from deploy.local.logs import is_loud
from deploy.local.postgres import CannotRunPostgres
from deploy.local.stack import Stack
from deploy.local.supervisor import PartFailed

# Nobody types as fast as a replay.
_RAISED_LIMITS = {
    "CONVERSATIONS_SEND_RATE_ACTOR": "100000",
    "CONVERSATIONS_SEND_BURST_ACTOR": "100000",
    "CONVERSATIONS_SEND_RATE_CLINIC": "100000",
}
_TERMINAL = ("TERM", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "COLORTERM")
_MOST_LOG_LINES = 20


def say(sentence: str) -> None:
    print(sentence, flush=True)


async def play(words: Sequence[str], *, overrides: Mapping[str, str]) -> int:
    """Run a command of `clinic` on a new suite; its exit code."""
    say("Starting a suite of its own: PostgreSQL, NATS, the mailbox and the services …")
    async with Stack.throwaway(overrides=overrides) as stack:
        code = await _command(words, state=stack.plan.state.directory)
        if code != 0:
            for line in _loud_lines(stack.logs):
                say(line)
    return code


async def _command(words: Sequence[str], *, state: Path) -> int:
    told = {name: os.environ[name] for name in _TERMINAL if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *words),
        env={**of_program(os.environ), **told, "LOCAL_STATE": str(state)},
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _loud_lines(logs: Path) -> Iterator[str]:
    """What the parts complained about, for whoever looks into a demonstration that failed."""
    for file in sorted(logs.glob("*.log")):
        loud = [line for line in file.read_text(errors="replace").splitlines() if is_loud(line)]
        for line in loud[-_MOST_LOG_LINES:]:
            yield f"{file.stem} | {line}"


async def until_told(words: Sequence[str], overrides: Mapping[str, str]) -> int:
    """SIGTERM ends it like Ctrl-C: in order, with nothing left behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await play(words, overrides=overrides)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__)
    parser.add_argument(
        "--people", metavar="DIRECTORY", type=Path, help="FHIR R4 people, as NDJSON files"
    )
    parser.add_argument(
        "--dialogues", metavar="FILE", type=Path, help="dialogues, one a line of JSON"
    )
    parser.add_argument(
        "--count", metavar="N", type=_positive, default=200, help="how many dialogues"
    )
    arguments = parser.parse_args()
    if (arguments.people is None) != (arguments.dialogues is None):
        parser.error("PEOPLE and DIALOGUES go together: people to speak, and what they say")
    if arguments.people is None:
        return asyncio.run(until_told(["tour"], {}))
    # What can be said at once need not wait for a suite.
    if not arguments.people.is_dir():
        parser.error(f"{arguments.people} is no directory of *.ndjson files")
    if not arguments.dialogues.is_file():
        parser.error(f"{arguments.dialogues} is no file of dialogues")
    files = ["--people", str(arguments.people), "--dialogues", str(arguments.dialogues)]
    words = ["replay", *files, "--count", str(arguments.count)]
    return asyncio.run(until_told(words, _RAISED_LIMITS))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("a whole number above 0 is wanted")
    return int(text)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (CannotRunPostgres, PartFailed) as refusal:
        sys.exit(str(refusal))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
