"""Drawing the consequences of merges and departures for the threads they touch (I1 to I6)."""

from services.chassis.errors import DomainError
from services.conversations.storage.archival import Archival, Incomplete, Underived


async def derive_archival(archival: Archival) -> bool:
    """One pass over the people whose state has changed; true where any of them was finished.

    Whom it cannot finish now holds up nobody behind them, and is looked at again.
    """
    finished = [await _derived(archival, person) for person in await archival.underived()]
    return any(finished)


async def _derived(archival: Archival, person: Underived) -> bool:
    try:
        after = await archival.derive(person, after=None)
        while after is not None:
            after = await archival.derive(person, after=after)
        await archival.done(person)
    except (Incomplete, DomainError):
        return False
    return True
