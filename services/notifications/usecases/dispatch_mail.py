"""One mail that is due: claimed, addressed, checked again, handed over, recorded (design 9)."""

from dataclasses import dataclass

from services.chassis.errors import DomainError
from services.notifications.channels.failures import ChannelFailure, TryLater
from services.notifications.channels.prints import AddressPrints
from services.notifications.channels.rendering import Composer
from services.notifications.channels.return_paths import ReturnPaths
from services.notifications.channels.smtp import SmtpChannel
from services.notifications.clients.directory import Directory
from services.notifications.domain.delivery import Outcome
from services.notifications.domain.mail import Addressee, Contents
from services.notifications.usecases.begin_transmission import BeginTransmission
from services.notifications.usecases.claim_dispatch import Claim, ClaimDispatch
from services.notifications.usecases.record_outcome import RecordOutcome
from services.notifications.usecases.rounds import Rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class MailWorks:
    """What it takes to get a mail out. Without `return_paths` what cannot be delivered comes back
    to the sender, and nobody hears of it."""

    rounds: Rounds
    directory: Directory
    channel: SmtpChannel
    composer: Composer
    prints: AddressPrints
    return_paths: ReturnPaths | None = None


async def dispatch_mail(command: ClaimDispatch, *, works: MailWorks) -> None:
    """Try once. What fails for now is due again later; a crash leaves it to the next worker."""
    claim = await works.rounds.claim(command)
    if claim is not None:
        outcome = await _tried(works, claim)
        if outcome is not None:
            await works.rounds.record(outcome)


async def _tried(works: MailWorks, claim: Claim) -> RecordOutcome | None:
    """How it ended; None where the last look left nothing to send."""
    try:
        addressee = await works.directory.get_addressee(claim.clinic_id, claim.recipient)
    except DomainError:  # whatever the directory makes of it, it may make something else later
        return RecordOutcome(claim=claim, outcome=Outcome.TRY_LATER)
    if not addressee.address:
        return RecordOutcome(claim=claim, outcome=Outcome.NO_ADDRESS)
    address_print = works.prints.of(addressee.address)
    if address_print in claim.suppressed:
        return RecordOutcome(claim=claim, outcome=Outcome.SUPPRESSED, address_print=address_print)
    outcome = await _transmitted(works, claim, addressee)
    if outcome is None:
        return None
    return RecordOutcome(claim=claim, outcome=outcome, address_print=address_print)


async def _transmitted(works: MailWorks, claim: Claim, addressee: Addressee) -> Outcome | None:
    try:
        paths = works.return_paths
        return_path = None if paths is None else paths.of(claim.dispatch_id)
        async with works.channel.open(addressee.address, return_path=return_path) as transmission:
            contents = await works.rounds.begin(BeginTransmission(claim))
            if contents is None:
                return None
            await transmission.send(_composed(works.composer, contents, addressee))
            return Outcome.SENT
    except ChannelFailure as failure:
        return failure.outcome


def _composed(composer: Composer, contents: Contents, addressee: Addressee) -> bytes:
    """Raises TryLater for a mail that cannot be made: not a byte of it has left, and the next
    release may know how."""
    try:
        return composer.compose(contents, addressee)
    except Exception as error:
        raise TryLater from error
