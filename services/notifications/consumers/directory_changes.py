"""Changed states of the directory, as the replica holds them, and what follows for the ledger.

Read from rows and not from events: a state that came by call, by bus, or with the whole set anew
has the same consequences.
"""

import asyncio
from collections.abc import Awaitable, Callable

from services.chassis.logs import get_logger
from services.chassis.outbox import Signal
from services.notifications.storage.due import ChangedRecipient, Due
from services.notifications.storage.unit_of_work import Storage
from services.notifications.usecases.reconsider_recipient import (
    ReconsiderRecipient,
    reconsider_recipients,
)

_POLL_SECONDS = 5.0
_PAGE = 100

log = get_logger()


async def draw_consequences(due: Due, storage: Storage, *, applied: Signal) -> None:
    """Reconsider whomever the directory has said something new of, for ever."""
    reconsider = storage.together(reconsider_recipients)
    while True:
        changed = await due.changed_recipients(most=_PAGE)
        done = await asyncio.gather(*(_reconsidered(each, reconsider) for each in changed))
        if not any(done):
            await applied.wait(_POLL_SECONDS)


async def _reconsidered(
    changed: ChangedRecipient, reconsider: Callable[[ReconsiderRecipient], Awaitable[None]]
) -> bool:
    command = ReconsiderRecipient(clinic_id=changed.clinic_id, recipient=changed.recipient)
    try:
        await reconsider(command)
        return True
    except Exception as error:
        log.error("reconsideration_failed", person_id=changed.recipient.id, exc_info=error)
        return False
