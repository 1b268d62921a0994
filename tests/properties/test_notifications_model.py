"""Any history of messages and people, over the real service and real sinks, against the model (R14,
R17, R23 to R26, R37, R41, I8, I10, I13, I14, I16, I19, I21, I42, P4, P13).

MODEL_HISTORIES makes longer runs, MODEL_SEED the same one again.
"""

import asyncio
import os
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from services.chassis.outbox import Event
from services.directory_replica.states import EndCause, ProfileState, SessionState, StaffState
from services.messaging_rule import Side
from services.notifications.domain.delivery import Channel
from services.notifications.usecases.dispatch_mail import dispatch_mail
from services.notifications.usecases.dispatch_push import PushWorks, dispatch_push
from services.notifications.usecases.reconsider_recipient import (
    ReconsiderRecipient,
    reconsider_recipients,
)
from tests.properties.notifications_model import PROFILE, STAFF, Model, Session
from tests.support.notifications_world import (
    NotificationsWorld,
    Sent,
    Thread,
    claim_of,
    notifications_world,
)

HISTORIES = int(os.environ.get("MODEL_HISTORIES", "60"))
SEED = os.environ.get("MODEL_SEED") or str(random.SystemRandom().randrange(10**9))
SIDE_BY_SIDE = 200
# For as many processors.
SHARES = 2
STEPS = 16
_CONNECTIONS = 8
T = TypeVar("T")
_MANY = re.compile(r"(\d+) new secure messages")


class Pushes:
    """Stands where the push services stand."""

    def __init__(self) -> None:
        self.sent: Counter[UUID] = Counter()

    def take_turn(self, devices: Any) -> None:
        """Always their turn."""

    async def send(self, device: Any, push: Any) -> None:
        self.sent[push.profile_id] += 1


async def _nothing_unread(clinic_id: UUID, profile_id: UUID) -> int:
    return 0


@dataclass
class History:
    """One clinic's, in the world and in the model at once."""

    world: NotificationsWorld
    rng: random.Random
    model: Model = field(default_factory=Model)
    threads: list[Thread] = field(default_factory=list)
    sent: list[list[Sent]] = field(default_factory=lambda: [[], []])
    sessions: list[tuple[UUID, Session]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    minute: int = 0

    async def begin(self) -> None:
        await self.world.clinic()
        staff_id = await self.world.staff()
        profiles = [await self.world.profile() for _ in range(2)]
        self.threads = [Thread(self.world, staff_id, profile_id) for profile_id in profiles]
        for profile_id in profiles:
            self.world.has_device(uuid4(), profile_id, age=timedelta(0))
        if self.rng.random() < 0.8:
            await self._tick()

    async def step(self) -> list[Event]:
        """One thing happens; the facts that tell of it."""
        self.minute += 1
        happening: Callable[[], Any] = self.rng.choice(
            [
                *[self._send] * 6,
                *[self._delete, self._read, self._sign_in, self._end, self._end_late] * 2,
                *[self._expire, self._be_active] * 2,
                *[self._tick, self._flag, self._merge],
            ]
        )
        self.said.append(f"{self.minute} {happening.__name__}")
        return list(await happening() or [])

    def _at(self, minute: int) -> datetime:
        return _BASE + timedelta(minutes=minute)

    def _any(self) -> int:
        return self.rng.randrange(2)

    async def _send(self) -> list[Event]:
        number, sender = self._any(), self.rng.choice((STAFF, PROFILE))
        sent = self.threads[number].message(Side(sender), at=self._at(self.minute))
        self.sent[number].append(sent)
        self.model.send(self.model.threads[number], sender, self.minute)
        self.said[-1] += f" {sender} {number}"
        return [sent.event]

    async def _delete(self) -> list[Event]:
        number = self._any()
        if not self.sent[number]:
            return []
        which = self.rng.randrange(len(self.sent[number]))
        self.model.delete(self.model.threads[number], which)
        self.said[-1] += f" {number}.{which}"
        return [self.threads[number].deletion(self.sent[number][which])]

    async def _read(self) -> list[Event]:
        number, side = self._any(), self.rng.choice((STAFF, PROFILE))
        self.model.mark_read(self.model.threads[number], side)
        self.said[-1] += f" {side} {number}"
        return [self.threads[number].reading(Side(side), len(self.sent[number]))]

    async def _sign_in(self) -> None:
        at = self._at(self.minute)
        id = await self.world.session(self.threads[0].staff_id, opened_at=at)
        self.model.sign_in(self.minute)
        self.sessions.append((id, self.model.sessions[-1]))

    async def _end(self) -> None:
        await self._end_at(self.minute, EndCause.LOGOUT)

    async def _end_late(self) -> None:
        """It is heard of three minutes after it was so."""
        await self._end_at(self.minute - 3, EndCause.LOGOUT)

    async def _expire(self) -> None:
        await self._end_at(self.minute, EndCause.EXPIRED)

    async def _end_at(self, minute: int, cause: EndCause) -> None:
        if not self.sessions:
            return
        id, session = self.sessions.pop(self.rng.randrange(len(self.sessions)))
        minute = max(minute, session.active)
        self.said[-1] += f" {session.start} at {minute}"
        await self.world.end(id, at=self._at(minute), cause=cause)
        self.model.end(session, minute, expired=cause is EndCause.EXPIRED)

    async def _be_active(self) -> None:
        if self.sessions:
            id, session = self.rng.choice(self.sessions)
            session.active = self.minute
            at = self._at(self.minute)
            await self.world.update(SessionState, id, last_activity_at=at)

    async def _tick(self) -> None:
        wanted = self.model.opted_in is None
        self.model.tick(self.minute if wanted else None)
        at = self._at(self.minute) if wanted else None
        await self.world.update(StaffState, self.threads[0].staff_id, opted_in_at=at)

    async def _flag(self) -> None:
        number = self._any()
        thread = self.model.threads[number]
        self.model.flag(thread, not thread.do_not_email)
        self.said[-1] += f" {number} {thread.do_not_email}"
        await self._update(number, do_not_email=thread.do_not_email)

    async def _merge(self) -> None:
        number = self._any()
        thread = self.model.threads[number]
        self.model.merge(thread, not thread.merged)
        self.said[-1] += f" {number} {thread.merged}"
        into = uuid4() if thread.merged else None
        await self._update(number, merged_into=into, merge_id=into)

    async def _update(self, number: int, **changes: Any) -> None:
        await self.world.update(ProfileState, self.threads[number].profile_id, **changes)

    def found(self, mails: dict[str, list[int]], pushes: Counter[UUID]) -> tuple[object, object]:
        """What came, in the terms of the model."""
        people = {STAFF: self.threads[0].staff_id} | {
            f"{PROFILE} {number}": thread.profile_id for number, thread in enumerate(self.threads)
        }
        came = {
            name: sorted(mails[address])
            for name, id in people.items()
            if (address := self.world.address_of(id)) in mails
        }
        return came, [pushes[thread.profile_id] for thread in self.threads]

    def expected(self) -> tuple[object, object]:
        mails = {name: sorted(counts) for name, counts in self.model.mails.items()}
        return mails, self.model.pushes


_BASE = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture(scope="module")
async def world(service_databases: Any, tmp_path_factory: Any) -> AsyncIterator[NotificationsWorld]:
    databases = service_databases("notifications")
    async with notifications_world(databases, tmp_path_factory.mktemp("model")) as running:
        yield running


async def few_at_once(works: Iterable[Awaitable[T]]) -> list[T]:
    """As many as there are connections; the others would wait for one."""
    places = asyncio.Semaphore(_CONNECTIONS)

    async def one(work: Awaitable[T]) -> T:
        async with places:
            return await work

    return await asyncio.gather(*(one(work) for work in works))


@dataclass(frozen=True)
class Together:
    """Histories that go on together, as clinics do."""

    world: NotificationsWorld
    histories: list[History]
    pushes: Pushes
    clinics: frozenset[UUID]

    async def run(self) -> None:
        await few_at_once(history.begin() for history in self.histories)
        for _ in range(STEPS):
            facts = await few_at_once(history.step() for history in self.histories)
            await self.world.take(*(event for events in facts for event in events))
            await self._reconsider()
            going = [history for history in self.histories if history.rng.random() < 0.25]
            await self._let_go(going)
        await self._let_go(self.histories)

    async def _reconsider(self) -> None:
        changed = await self.world.due.changed_recipients(most=10_000)
        commands = [
            ReconsiderRecipient(clinic_id=each.clinic_id, recipient=each.recipient)
            for each in changed
            if each.clinic_id in self.clinics
        ]
        if commands:
            await self.world.storage.act_on_all(reconsider_recipients, commands)

    async def _let_go(self, going: list[History]) -> None:
        works = self.world.works
        push = PushWorks(
            rounds=works.rounds,
            get_badge=_nothing_unread,
            channel=self.pushes,  # type: ignore[arg-type]
        )
        clinics = {history.world.clinic_id for history in going}
        for history in going:
            history.model.let_go()
            history.said.append("let go")
        for channel, dispatch in (
            (Channel.EMAIL, partial(dispatch_mail, works=works)),
            (Channel.PUSH, partial(dispatch_push, works=push)),
        ):
            due = await self.world.due.dispatches(channel, besides=[], most=100_000)
            found = [each for each in due if each.clinic_id in clinics]
            await asyncio.gather(*(dispatch(claim_of(each)) for each in found))


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.timeout(120 + HISTORIES // 4)
async def test_what_the_sinks_got_is_what_the_model_says(
    world: NotificationsWorld, share: int
) -> None:
    print(f"MODEL_SEED={SEED}")
    ours = range(share, HISTORIES, SHARES)
    for first in range(0, len(ours), SIDE_BY_SIDE):
        numbers = ours[first : first + SIDE_BY_SIDE]
        histories = [
            History(
                replace(world, clinic_id=uuid4(), _versions={}), random.Random(f"{SEED} {number}")
            )
            for number in numbers
        ]
        clinics = frozenset(history.world.clinic_id for history in histories)
        together = Together(world, histories, Pushes(), clinics)
        await together.run()

        mails = _counts(world)
        for history in histories:
            assert history.found(mails, together.pushes.sent) == history.expected(), history.said


def _counts(world: NotificationsWorld) -> dict[str, list[int]]:
    """The numbers that mails named, by address; the mailbox is empty then."""
    found: dict[str, list[int]] = {}
    for mail in world.mailbox.list():
        many = _MANY.search(mail.part("plain"))
        count = 1 if many is None else int(many[1])
        found.setdefault(mail.envelope.recipients[0], []).append(count)
    world.mailbox.clear()
    return found
