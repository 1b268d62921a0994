"""One push that is due: claimed, checked again, handed to every device, recorded (design 9)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.chassis.errors import DomainError
from services.notifications.channels.failures import ChannelFailure, TryLater
from services.notifications.channels.push import PushChannel
from services.notifications.domain.delivery import Outcome
from services.notifications.domain.device import DeviceAddress
from services.notifications.domain.push import Push
from services.notifications.usecases.begin_push import BeginPush, Begun
from services.notifications.usecases.claim_dispatch import Claim, ClaimDispatch
from services.notifications.usecases.record_outcome import RecordOutcome
from services.notifications.usecases.rounds import Rounds

# Of several devices: one that has it is enough; one that may have it later is worth a later try.
_BEST_FIRST = (
    Outcome.SENT,
    Outcome.TRY_LATER,
    Outcome.NO_ANSWER,
    Outcome.MAIL_REFUSED,
    Outcome.NO_DEVICE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushWorks:
    """What it takes to get a push out. `get_badge` tells a profile's unread messages."""

    rounds: Rounds
    get_badge: Callable[[UUID, UUID], Awaitable[int]]
    channel: PushChannel


async def dispatch_push(command: ClaimDispatch, *, works: PushWorks) -> None:
    """Try once. What fails for now is due again later; a crash leaves it to the next worker."""
    claim = await works.rounds.claim(command)
    if claim is None:
        return
    badge = await _badge(works, claim)
    begun = await works.rounds.begin_push(BeginPush(claim))
    if begun is None:
        return
    turn = works.channel.take_turn(begun.devices)
    if turn is not None:  # all devices or none: what one of them has is not sent again
        not_asked = RecordOutcome(claim=claim, outcome=Outcome.NOT_ASKED, not_before=turn)
        await works.rounds.record(not_asked)
        return
    await works.rounds.record(await _sent(works, claim, begun, badge))


async def _badge(works: PushWorks, claim: Claim) -> int | None:
    """None where nobody knows it now: a push without a number is better than none."""
    try:
        return await works.get_badge(claim.clinic_id, claim.recipient.id)
    except DomainError:
        return None


async def _sent(works: PushWorks, claim: Claim, begun: Begun, badge: int | None) -> RecordOutcome:
    push = Push(
        dispatch_id=claim.dispatch_id,
        collapse_id=begun.contents.conversation_id or claim.recipient.id,
        profile_id=claim.recipient.id,
        conversation_id=begun.contents.conversation_id,
        badge=badge,
    )
    tries = [_tried(works.channel, device, push) for device in begun.devices]
    return _together(claim, begun.devices, await asyncio.gather(*tries))


async def _tried(channel: PushChannel, device: DeviceAddress, push: Push) -> ChannelFailure | None:
    """How it failed, if it did."""
    try:
        await channel.send(device, push)
    except ChannelFailure as failure:
        return failure
    return None


def _together(
    claim: Claim,
    devices: Sequence[DeviceAddress],
    failures: Sequence[ChannelFailure | None],
) -> RecordOutcome:
    outcomes = [Outcome.SENT if each is None else each.outcome for each in failures]
    times = [each.not_before for each in failures if isinstance(each, TryLater)]
    return RecordOutcome(
        claim=claim,
        outcome=min(outcomes, key=_BEST_FIRST.index),
        not_before=None if None in times else min(filter(None, times), default=None),
        gone=[
            device
            for device, outcome in zip(devices, outcomes, strict=True)
            if outcome is Outcome.NO_DEVICE
        ],
    )
