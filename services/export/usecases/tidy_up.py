"""End what is past its time, and delete the files of what has ended."""

import asyncio

from services.export.domain.export import HOLDING_FILES, State
from services.export.formats.shelf import Shelf
from services.export.storage.jobs import Jobs


async def tidy_up(jobs: Jobs, shelf: Shelf) -> None:
    """One pass. The files of an export that no row knows stay: a restored database may be older."""
    await jobs.expire()
    here = await asyncio.to_thread(shelf.export_ids)
    for export_id, state in (await jobs.states(here)).items():
        if state not in HOLDING_FILES:
            await asyncio.to_thread(shelf.remove, export_id)
        elif state is State.READY:
            await asyncio.to_thread(shelf.remove_drafts, export_id)
