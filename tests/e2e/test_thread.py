"""The product's story on the whole suite."""

import asyncio
import os
import sys


async def test_a_message_goes_through_and_back_and_every_rule_of_the_story_holds(stack):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "tour"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LOCAL_STATE": str(stack.plan.state.directory)},
    )
    told, _ = await process.communicate()

    assert process.returncode == 0, told.decode()
