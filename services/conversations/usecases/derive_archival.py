"""Drawing the consequences of merges and departures for the threads they touch (I1 to I6)."""

from services.conversations.storage.archival import Archival


async def derive_archival(archival: Archival) -> bool:
    """One pass over the people whose state has changed; true where there were any."""
    people = await archival.underived()
    for person in people:
        after = await archival.derive(person, after=None)
        while after is not None:
            after = await archival.derive(person, after=after)
        await archival.done(person)
    return bool(people)
