"""The ledger's steps of a dispatch, each in one transaction for all dispatches that are at it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from services.chassis.errors import Unavailable
from services.notifications.domain.mail import Contents
from services.notifications.storage.unit_of_work import Storage
from services.notifications.usecases.begin_push import BeginPush, Begun, begin_pushes
from services.notifications.usecases.begin_transmission import (
    BeginTransmission,
    begin_transmissions,
)
from services.notifications.usecases.claim_dispatch import Claim, ClaimDispatch, claim_dispatches
from services.notifications.usecases.record_outcome import RecordOutcome, record_outcomes

# What the provider said is lost with the process, so the database gets more than one chance.
_RECORD_TRIES = 20
_RECORD_PAUSE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Rounds:
    """`claim` gives None where there is nothing to do, `begin` where nothing is left to tell."""

    claim: Callable[[ClaimDispatch], Awaitable[Claim | None]]
    begin: Callable[[BeginTransmission], Awaitable[Contents | None]]
    begin_push: Callable[[BeginPush], Awaitable[Begun | None]]
    write_outcome: Callable[[RecordOutcome], Awaitable[None]]

    async def record(self, command: RecordOutcome) -> None:
        for _ in range(_RECORD_TRIES):
            try:
                await self.write_outcome(command)
                return
            except Unavailable:
                await asyncio.sleep(_RECORD_PAUSE.total_seconds())


def rounds_of(storage: Storage) -> Rounds:
    return Rounds(
        claim=storage.together(claim_dispatches),
        begin=storage.together(begin_transmissions),
        begin_push=storage.together(begin_pushes),
        write_outcome=storage.together(record_outcomes),
    )
