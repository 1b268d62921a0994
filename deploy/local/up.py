"""`python -m deploy.local up`: the stack for a person at a terminal."""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from deploy.local.demo import Demo, DemoFailed, demo_clinic
from deploy.local.logs import follow
from deploy.local.ports import chosen
from deploy.local.stack import Stack

T = TypeVar("T")

# One on each side; all of them would fill the screen.
_SHOWN = ("practitioner", "patient")


class Interrupted(Exception):
    """Somebody asked for the end while it was still starting."""


def say(sentence: str) -> None:
    # A terminal that was closed is no reason to leave the parts without a proper end.
    with suppress(OSError):
        print(sentence, flush=True)


async def up(directory: Path) -> None:
    """Start, tell where everything is, watch over it, and end it when asked to."""
    ended = _ended_by_signal()
    began = time.monotonic()
    stack = Stack(directory, ports=chosen(os.environ), overrides=os.environ, tell=say)
    with suppress(Interrupted):
        await _unless(ended, stack.__aenter__())
        try:
            say(f"Ready after {time.monotonic() - began:.1f} s.")
            await _attend(stack, ended)
        finally:
            say("\nStopping …")
            await stack.__aexit__(None, None, None)
    say("Stopped; the data are kept for the next start. `make reset` deletes them.")


async def _attend(stack: Stack, ended: asyncio.Event) -> None:
    following = asyncio.create_task(follow(stack.logs, say))
    try:
        for line in _places(stack):
            say(line)
        for line in await _unless(ended, _demo_lines(stack)):
            say(line)
        say("\nCtrl-C stops all of it.")
        await ended.wait()
    finally:
        following.cancel()


def _ended_by_signal() -> asyncio.Event:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    return ended


async def _unless(ended: asyncio.Event, work: Coroutine[None, None, T]) -> T:
    """The result of the work; raises Interrupted where the end comes first, which cancels it."""
    task = asyncio.create_task(work)
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        return task.result()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    raise Interrupted


def _places(stack: Stack) -> Iterator[str]:
    yield ""
    for service in stack.plan.services:
        yield (
            f"  {service:<14} gRPC {stack.address(service)}   internal "
            f"{stack.internal_address(service)}   {stack.http_url(service)}/metrics"
        )
    yield f"  {'mailbox':<14} {stack.mailbox_url}"
    yield f"  {'pushes':<14} {stack.pushes_url}"
    yield f"  {'logs':<14} {_short(stack.logs)}"
    yield f"  {'keys':<14} {_short(stack.keys)}"


async def _demo_lines(stack: Stack) -> list[str]:
    try:
        demo = await demo_clinic(stack.plan.state)
    except DemoFailed as failure:
        return ["", str(failure)]
    return list(_told(demo))


def _told(demo: Demo) -> Iterator[str]:
    yield "\nTokens of the demo clinic:"
    for person in _SHOWN:
        yield f"  {person}\n    {demo.tokens[person]}"
    others = ", ".join(person for person in demo.tokens if person not in _SHOWN)
    yield f"  `.venv/bin/clinic token --as …` prints that of {others}."
    yield "\nTo try:"
    for command in demo.commands:
        yield f"  {command}"


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
