"""A whole suite for end-to-end and fault tests, on free ports and in a directory of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from deploy.local.logs import is_loud
from deploy.local.stack import Stack
from tests.support.mailbox import MailboxClient
from tests.support.push_sink import PushesClient

# A test sends faster than a person types.
HURRIED: Mapping[str, str] = {
    "CONVERSATIONS_SEND_RATE_ACTOR": "1000",
    "CONVERSATIONS_SEND_BURST_ACTOR": "1000",
    "CONVERSATIONS_SEND_RATE_CLINIC": "10000",
}


@asynccontextmanager
async def running_stack(overrides: Mapping[str, str] | None = None) -> AsyncIterator[Stack]:
    """All parts ready; what they complained of is printed at the end, for pytest to show."""
    async with Stack.throwaway(overrides={**HURRIED, **(overrides or {})}, tell=print) as stack:
        try:
            yield stack
        finally:
            for line in complaints(stack):
                print(line)


def complaints(stack: Stack) -> list[str]:
    """The warnings and errors in the logs of all parts so far."""
    return [
        f"{file.stem} | {line}"
        for file in sorted(stack.logs.glob("*.log"))
        for line in file.read_text(errors="replace").splitlines()
        if is_loud(line)
    ]


def pushes_of(stack: Stack) -> PushesClient:
    return PushesClient(stack.pushes_url)


def mailbox_of(stack: Stack) -> MailboxClient:
    return MailboxClient(stack.mailbox_url)
