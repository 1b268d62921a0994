"""One mail that is due: claimed, addressed, checked again, handed over, recorded (design 9)."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from services.chassis.errors import DomainError, Unavailable
from services.notifications.channels.failures import ChannelFailure
from services.notifications.channels.prints import AddressPrints
from services.notifications.channels.rendering import Composer
from services.notifications.channels.smtp import SmtpChannel
from services.notifications.clients.directory import Directory
from services.notifications.domain.delivery import Outcome
from services.notifications.domain.mail import Addressee
from services.notifications.storage.unit_of_work import Storage
from services.notifications.usecases.begin_transmission import (
    BeginTransmission,
    begin_transmission,
)
from services.notifications.usecases.claim_dispatch import Claim, ClaimDispatch, claim_dispatch
from services.notifications.usecases.record_outcome import RecordOutcome, record_outcome

# What the provider said is lost with the process, so the database gets more than one chance.
_RECORD_TRIES = 20
_RECORD_PAUSE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailWorks:
    """What it takes to get a mail out."""

    storage: Storage
    directory: Directory
    channel: SmtpChannel
    composer: Composer
    prints: AddressPrints


async def dispatch_mail(command: ClaimDispatch, *, works: MailWorks) -> None:
    """Try once. What fails for now is due again later; a crash leaves it to the next worker."""
    claim = await works.storage.act(claim_dispatch, command)
    if claim is None:
        return
    try:
        addressee = await works.directory.get_addressee(claim.clinic_id, claim.recipient)
    except DomainError:  # whatever the directory makes of it, it may make something else later
        await _record(works, claim, Outcome.TRY_LATER)
        return
    if not addressee.address:
        await _record(works, claim, Outcome.NO_ADDRESS)
        return
    address_print = works.prints.of(addressee.address)
    if address_print in claim.suppressed:
        await _record(works, claim, Outcome.SUPPRESSED)
    elif (outcome := await _transmit(works, claim, addressee)) is not None:
        await _record(works, claim, outcome, address_print)


async def _transmit(works: MailWorks, claim: Claim, addressee: Addressee) -> Outcome | None:
    """How it ended; None where the last look left nothing to send."""
    try:
        async with works.channel.open(addressee.address) as transmission:
            contents = await works.storage.act(begin_transmission, BeginTransmission(claim))
            if contents is None:
                return None
            await transmission.send(works.composer.compose(contents, addressee))
            return Outcome.SENT
    except ChannelFailure as failure:
        return failure.outcome


async def _record(
    works: MailWorks, claim: Claim, outcome: Outcome, address_print: bytes | None = None
) -> None:
    command = RecordOutcome(claim=claim, outcome=outcome, address_print=address_print)
    for _ in range(_RECORD_TRIES):
        try:
            await works.storage.act(record_outcome, command)
            return
        except Unavailable:
            await asyncio.sleep(_RECORD_PAUSE.total_seconds())
