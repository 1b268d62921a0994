"""Fetching the names of the people of threads, when they are new or have changed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from services.conversations.storage.names import Name, Names
from services.messaging_rule import Side

# (clinic id, staff ids, profile ids) -> their names; who is not there is absent.
FetchNames = Callable[
    [UUID, Sequence[UUID], Sequence[UUID]],
    Awaitable[tuple[Mapping[UUID, Name], Mapping[UUID, Name]]],
]


async def refresh_names(names: Names, fetch: FetchNames) -> bool:
    """One pass; true where newer names came than were held, and there may be more to ask for.

    Raises Unavailable where the directory is out of reach.
    """
    held = False
    for stale in await names.stale():
        staff, profiles = await fetch(stale.clinic_id, stale.staff, stale.profiles)
        for side, found in ((Side.STAFF, staff), (Side.PROFILE, profiles)):
            if found and await names.hold(stale.clinic_id, side, found):
                held = True
    return held
