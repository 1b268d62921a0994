"""The demo clinic of a running stack: made when there is none yet, and told to the person."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass

from deploy.local import environment
from deploy.local.state import State


class DemoFailed(Exception):
    """The suite runs, but shows no demo clinic; the message says why."""


@dataclass(frozen=True, slots=True)
class Demo:
    """Tokens by whom they speak for, and commands to try."""

    tokens: dict[str, str]
    commands: list[str]


async def demo_clinic(state: State) -> Demo:
    """What `clinic demo-clinic` says; it makes the clinic only in an empty directory."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "demo-clinic", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**environment.of_program(os.environ), "LOCAL_STATE": str(state.directory)},
    )
    try:
        answer, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise DemoFailed(f"The demo clinic could not be made: {complaint.decode().strip()}")
    told = json.loads(answer)
    return Demo(told["tokens"], told["commands"])
