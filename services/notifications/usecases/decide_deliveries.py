"""Messages were sent: are their recipients to be told (R14, R24, R37, R40, I13, I21)?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.chassis.ids import uuid7
from services.messaging_rule import Side
from services.notifications.domain.delivery import Channel, Delivery, Dispatch, Reason, State
from services.notifications.domain.fact import MessageSent, whom
from services.notifications.domain.rules import decide
from services.notifications.storage.ledger import Burst
from services.notifications.storage.messages import Told
from services.notifications.storage.people import Circumstances
from services.notifications.storage.unit_of_work import Batch


@dataclass(frozen=True, slots=True)
class _Case:
    """A message that was sent, and what its decision rests on."""

    fact: MessageSent
    circumstances: Circumstances
    withdrawn: Reason | None
    has_device: bool

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Staff have a browser; only profiles have the app (R17)."""
        if self.fact.recipient.side is Side.PROFILE:
            return (Channel.EMAIL, Channel.PUSH)
        return (Channel.EMAIL,)

    def burst(self, channel: Channel) -> Burst:
        return Burst(whom(self.fact), self.fact.message.conversation_id, channel)


async def decide_deliveries(tx: Batch, facts: Sequence[MessageSent]) -> None:
    """Write the rows of each message, once; settled or held until they are due. Needs the
    recipients' locks."""
    if not facts:
        return
    cases = await _cases(tx, facts)
    both = [(case, channel) for case in cases for channel in case.channels]
    waiting = await tx.ledger.open_dispatches({case.burst(channel) for case, channel in both})
    dispatches = dict(waiting)
    rows = [_row(case, channel, dispatches, now=tx.now) for case, channel in both]
    await tx.add(rows, traces={fact.message.id: fact.trace for fact in facts})


async def _cases(tx: Batch, facts: Sequence[MessageSent]) -> list[_Case]:
    """In the order of sending: the first of a burst says when all of it is due."""
    ordered = sorted(facts, key=lambda fact: (fact.message.sent_at, fact.message.sequence))
    circumstances = await tx.people.circumstances(
        (whom(fact), fact.message.sent_at) for fact in ordered
    )
    withdrawn = await tx.messages.withdrawn(
        Told(fact.clinic_id, fact.recipient.side, fact.message) for fact in ordered
    )
    people = {whom(fact) for fact in ordered}
    devices = await tx.devices_of([w for w in people if w.recipient.side is Side.PROFILE])
    return [
        _Case(
            fact,
            circumstances[whom(fact)],
            withdrawn.get((fact.clinic_id, fact.message.id)),
            has_device=bool(devices.get(whom(fact))),
        )
        for fact in ordered
    ]


def _row(
    case: _Case, channel: Channel, dispatches: dict[Burst, Dispatch], *, now: datetime
) -> Delivery:
    fact = case.fact
    mute = channel is Channel.PUSH and not case.has_device
    state, reason = decide(
        case.circumstances.person,
        fact.message.sent_at,
        withdrawn=case.withdrawn,
        unreachable=Reason.NO_DEVICE if mute else None,
    )
    dispatch = _dispatch(case, channel, dispatches) if state is State.HELD else None
    return Delivery(
        id=uuid7(),
        clinic_id=fact.clinic_id,
        message=fact.message,
        recipient=fact.recipient,
        channel=channel,
        state=state,
        reason=reason,
        decided_at=now,
        due_at=dispatch.due_at if dispatch else None,
        dispatch_id=dispatch.id if dispatch else None,
    )


def _dispatch(case: _Case, channel: Channel, dispatches: dict[Burst, Dispatch]) -> Dispatch:
    """What waits for this thread already, or something new: a mail after the clinic's hold (I42),
    a push at once, for it can be taken back (I17)."""
    held_for = case.circumstances.mail_hold if channel is Channel.EMAIL else timedelta(0)
    new = Dispatch(uuid7(), case.fact.message.sent_at + held_for)
    return dispatches.setdefault(case.burst(channel), new)
