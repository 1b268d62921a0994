"""Every current state of all clinics, for readers that fill their replica."""

from collections.abc import AsyncIterator
from uuid import UUID

from services.directory.domain.events import State
from services.directory.storage.unit_of_work import Storage

_PAGE = 500
_NOWHERE = UUID(int=0)


async def stream_states(
    storage: Storage, *, after: tuple[UUID, UUID] | None
) -> AsyncIterator[State]:
    """By clinic, then id; a page a transaction, so that a slow reader holds none open."""
    last = after or (_NOWHERE, _NOWHERE)
    while states := await storage.states_after(last, most=_PAGE):
        for state in states:
            yield state
        last = (states[-1].subject.clinic_id, states[-1].subject.id)
