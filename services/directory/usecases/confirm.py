"""A change is in force elsewhere when the call returns, or the call says that it is not yet (I38).

The events remain the guaranteed way; this is the fast one, after the commit and outside of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from services.directory.domain.events import State
from services.directory.storage.unit_of_work import Command, Outcome, Storage, Transaction

C = TypeVar("C", bound=Command)
R = TypeVar("R")


class Peer(Protocol):
    """Another service, as far as states are brought into force there."""

    async def apply(self, states: Sequence[State]) -> bool:
        """Whether it has confirmed, within 2 seconds, that it holds these; never raises for a
        service that is out of reach."""
        ...


@dataclass(frozen=True, slots=True)
class Peers:
    conversations: Peer
    notifications: Peer


@dataclass(frozen=True, slots=True)
class Confirmed(Generic[R]):
    """`applied`: conversations holds what `result` rests on, so every call that begins now
    decides on it."""

    result: R
    applied: bool


async def confirmed(
    work: Callable[[Transaction, C], Awaitable[R]],
    command: C,
    *,
    storage: Storage,
    peers: Peers,
) -> Confirmed[R]:
    """Do the work in its transaction, then tell the others and wait for their word."""
    return await told(await storage.run_telling(work, command), peers=peers)


async def told(outcome: Outcome[R], *, peers: Peers) -> Confirmed[R]:
    """Tell the others what a transaction announced; both at once, so that it takes 2 s at most."""
    if not outcome.states:
        return Confirmed(outcome.result, applied=True)
    applied, _ = await asyncio.gather(
        peers.conversations.apply(outcome.states), peers.notifications.apply(outcome.states)
    )
    return Confirmed(outcome.result, applied=applied)
