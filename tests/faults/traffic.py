"""Clients that go on whatever happens: they send, read, delete, merge and deactivate."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.failures import Refused
from services.cli.suite import Suite
from tests.faults.book import Book, Sent, Thread
from tests.faults.movers import PATIENCE_SECONDS, Departure, Merge, Mover, insist
from tests.support.eventually import eventually
from tests.support.suite import Clinic, Member, open_clinic

# In every text and every name, and nowhere else.
TEXT, NAME = "faultqvtext", "faultqvname"
# What a sender to somebody merged away or deactivated hears.
_CLOSED = frozenset({"CONVERSATION_ARCHIVED", "CONVERSATION_READ_ONLY"})
_MARKS, _DELETES = 0.1, 0.05
_SENDS_BETWEEN_MOVES = 12


class Traffic:
    """All threads at once: each sender waits for the answer before the next send."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.book = Book()
        self.threads: list[Thread] = []
        self.movers: list[Mover] = []
        self.in_flight = 0
        self._left = 0
        self._number = 0

    @asynccontextmanager
    async def flowing(self, *, sends: int, rng: random.Random) -> AsyncIterator[None]:
        """Until so many sends to open threads are acknowledged; those to the others come on top.

        All that was begun is answered at the end.
        """
        self._left = sends
        async with asyncio.TaskGroup() as clients:
            for thread in self.threads:
                for device, sender in enumerate(thread.senders):
                    clients.create_task(self._keep_sending(thread, sender, device, rng))
            for mover in self.movers:
                clients.create_task(self._keep_moving(mover))
            yield

    async def acked(self, more: int) -> None:
        """Wait for this many further acknowledged sends."""
        wanted = len(self.book.acked) + more

        async def reached() -> bool:
            return len(self.book.acked) >= wanted

        await eventually(reached, within=PATIENCE_SECONDS)

    async def _keep_sending(
        self, thread: Thread, sender: Member, device: int, rng: random.Random
    ) -> None:
        while self._left > 0:
            if not thread.closes:
                self._left -= 1
            sent = await self._try_to_send(thread, sender, device, rng.randrange(60))
            if sent is not None and rng.random() < _MARKS:
                await self._mark_read(sent, rng)
            if sent is not None and rng.random() < _DELETES and not thread.closes:
                await self._delete(sent)

    async def _try_to_send(
        self, thread: Thread, sender: Member, device: int, length: int
    ) -> Sent | None:
        """None where it was refused because of the other person's state."""
        self._number += 1
        body = f"{TEXT} {self._number} " + "✓ " * length
        self.in_flight += 1
        try:
            return await self.send(thread, sender, device, body)
        except Refused as refused:
            if not thread.closes or refused.reason not in _CLOSED:
                raise
            return None
        finally:
            self.in_flight -= 1

    async def send(self, thread: Thread, sender: Member, device: int, body: str) -> Sent:
        request = pb.SendMessageRequest(
            conversation_id=thread.id, body=body, request_id=str(uuid7())
        )
        began = time.monotonic()
        message = (await insist(sender, self.suite.conversations.SendMessage, request)).message
        answered = time.monotonic()
        assert message.body == body
        id, sequence = message.message_id, message.sequence
        sent = Sent(thread, sender, device, id, sequence, body, began, answered)
        self.book.acked.append(sent)
        return sent

    async def _mark_read(self, sent: Sent, rng: random.Random) -> None:
        request = pb.MarkConversationReadRequest(
            conversation_id=sent.thread.id, up_to_sequence=rng.randint(1, sent.sequence)
        )
        await insist(sent.sender, self.suite.conversations.MarkConversationRead, request)

    async def _delete(self, sent: Sent) -> None:
        request = pb.DeleteMessageRequest(
            conversation_id=sent.thread.id, sequence=sent.sequence, request_id=str(uuid7())
        )
        await insist(sent.sender, self.suite.conversations.DeleteMessage, request)
        self.book.deleted.add(sent.message_id)

    async def _keep_moving(self, mover: Mover) -> None:
        """Away or back, once for every few sends."""
        while self._left > 0:
            due = len(self.book.acked) + _SENDS_BETWEEN_MOVES
            await eventually(partial(self._is_time, due), within=2 * PATIENCE_SECONDS)
            await mover.move()

    async def _is_time(self, due: int) -> bool:
        return self._left <= 0 or len(self.book.acked) >= due


async def populate(suite: Suite, *, clinics: int) -> Traffic:
    """Each clinic has four open threads, one with a patient and one with a practitioner who come
    and go; the staff side has written first."""
    traffic = Traffic(suite)
    for number in range(clinics):
        clinic = await open_clinic(
            suite,
            name=f"Clinic {number}",
            owner=f"Olivia {NAME}",
            owner_email=f"owner-{number}@faults.example.test",
        )
        await _populate_clinic(traffic, clinic, number)
    return traffic


async def _populate_clinic(traffic: Traffic, clinic: Clinic, number: int) -> None:
    anna, ben, dora = [await clinic.hire(f"{name} {NAME}") for name in ("Anna", "Ben", "Dora")]
    pat, pia, pam, mia = [
        await clinic.register(f"{name} {NAME}", email=f"{name}-{number}@faults.example.test")
        for name in ("Pat", "Pia", "Pam", "Mia")
    ]
    for staff, profile in ((anna, pat), (anna, pia), (ben, pia), (ben, pam)):
        await _open_thread(traffic, clinic, staff, profile, senders=(staff, profile, profile))
    merged = await _open_thread(traffic, clinic, anna, mia, senders=(anna,))
    left = await _open_thread(traffic, clinic, dora, pam, senders=(pam,))
    merge = Merge(traffic.suite, clinic.owner, secondary=mia, primary=pat)
    departure = Departure(traffic.suite, clinic.owner, dora)
    traffic.movers += [Mover(merge, merged, traffic.book), Mover(departure, left, traffic.book)]


async def _open_thread(
    traffic: Traffic,
    clinic: Clinic,
    staff: Member,
    profile: Member,
    *,
    senders: tuple[Member, ...],
) -> Thread:
    id = await clinic.start(staff, profile)
    thread = Thread(id, clinic, staff, profile, senders)
    traffic.threads.append(thread)
    await traffic.send(thread, staff, 0, f"{TEXT} Welcome")
    return thread
