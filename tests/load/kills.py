"""`python -m tests.load.kills`: notifications is killed at the edges of its states.

An edge is seen from outside: a commit of the ledger, by a trigger of the run's own; what the mail
server has come to, by its faults. After each kill all is told again, and in the end every message
must have reached the mail server: lost are those that did not, doubled those that came twice.
There is one window that cannot be closed, from the server's having a mail to our knowing it: a
mail from there goes once more, and its row says so.
"""

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg

from clinic.conversations.v1 import conversations_service_pb2 as pb
from deploy.local.stack import Stack
from services.chassis.ids import uuid7
from services.cli.places import find
from services.cli.suite import Suite
from tests.load.told import Patient, patients
from tests.support.eventually import eventually
from tests.support.mailbox import MailboxClient
from tests.support.stack import HURRIED

# What the ledger commits, what the mail server is at, and any moment after a message was sent.
EDGES = ("HELD", "CLAIMED", "TRANSMITTING", "SENT", "before_data", "after_data", "any")
_FAULTS = ("before_data", "after_data")
_LONGEST_PAUSE_SECONDS = 0.03
_CHANNEL = "edges"
_TRIGGER = f"""
create function tell_edge() returns trigger language plpgsql as $$
begin
    perform pg_notify('{_CHANNEL}', new.state);
    return null;
end $$;
create trigger tell_edge after insert or update of state on deliveries for each row
    when (new.channel = 'EMAIL') execute function tell_edge();
"""
# As if a minute had passed since the kill.
_LEASES_OVER = "update deliveries set leased_until = now() where leased_until is not null"
_LEDGER = """
select message_id::text, state, dispatch_id::text, resent from deliveries where channel = 'EMAIL'
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of all messages. A doubled mail is in the window where its row says so."""

    kills: Counter[str]
    messages: int
    lost: int
    in_window: int
    outside_window: int

    def __str__(self) -> str:
        kills = ", ".join(f"{edge} {count}" for edge, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({kills}), {self.messages} messages: {self.lost} lost,"
            f" {self.in_window} doubled in the window, {self.outside_window} outside"
        )


@dataclass(slots=True)
class Killer:
    """Kills the notifications of a stack, again and again, as a seed says."""

    stack: Stack
    suite: Suite
    told: Sequence[Patient]
    rng: random.Random
    sent: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def _mailbox(self) -> MailboxClient:
        return MailboxClient(self.stack.mailbox_url)

    async def run(self, kills: int) -> Found:
        """The same number of times at each edge, in any order."""
        self._execute(_TRIGGER)
        edges = [EDGES[number % len(EDGES)] for number in range(kills)]
        self.rng.shuffle(edges)
        for edge in edges:
            await self._kill_at(edge)
            self.kills[edge] += 1
        return await self._found()

    async def _kill_at(self, edge: str) -> None:
        async with await psycopg.AsyncConnection.connect(
            self.stack.superuser_url("notifications"), autocommit=True
        ) as listening:
            await listening.execute(f"listen {_CHANNEL}")
            if edge in _FAULTS:
                await self._mailbox.hang("", when=edge)
            for _ in range(self.rng.randint(1, 3)):
                await self._send()
            await self._reached(edge, listening)
        # A fault holds the service where it is; elsewhere it is about to go on.
        least = _LONGEST_PAUSE_SECONDS if edge in _FAULTS else 0.0
        await asyncio.sleep(least + self.rng.uniform(0, _LONGEST_PAUSE_SECONDS))
        await self.stack.kill("notifications")
        await self._mailbox.heal()
        self._execute(_LEASES_OVER)
        await self.stack.start("notifications")
        await eventually(self._settled, within=60)

    async def _reached(self, edge: str, listening: psycopg.AsyncConnection) -> None:
        """A message may be sent before another has come so far: the first to come counts."""
        if edge == "any":
            await asyncio.sleep(self.rng.uniform(0, 0.2))
            return
        wanted = {"before_data": "CLAIMED", "after_data": "TRANSMITTING"}.get(edge, edge)
        async with asyncio.timeout(30):
            async for notice in listening.notifies():
                if notice.payload == wanted:
                    break

    async def _send(self) -> None:
        to = self.rng.choice(self.told)
        request = pb.SendMessageRequest(
            conversation_id=to.conversation_id, body="Hello.", request_id=str(uuid7())
        )
        answer = await to.sender.call(self.suite.conversations.SendMessage, request)
        self.sent.append(answer.message.message_id)

    async def _settled(self) -> bool:
        """Every message has its row, and none is under way."""
        ledger = {id: state for id, state, _, _ in self._execute(_LEDGER)}
        assert ledger.keys() >= set(self.sent)
        return not set(ledger.values()) & {"HELD", "CLAIMED", "TRANSMITTING"}

    async def _found(self) -> Found:
        mails = await self._mailbox.mails()
        came = Counter(
            mail["headers"]["Message-ID"].strip("<>").partition("@")[0] for mail in mails
        )
        rows = {id: (dispatch, resent) for id, _, dispatch, resent in self._execute(_LEDGER)}
        resent = {dispatch for dispatch, again in rows.values() if again}
        known = {dispatch for dispatch, _ in rows.values()}
        doubled = {dispatch: times - 1 for dispatch, times in came.items() if times > 1}
        return Found(
            kills=self.kills,
            messages=len(self.sent),
            lost=sum(rows[id][0] not in came for id in self.sent),
            in_window=sum(times for each, times in doubled.items() if each in resent),
            outside_window=sum(times for each, times in doubled.items() if each not in resent)
            + len(came.keys() - known),
        )

    def _execute(self, query: str) -> list[tuple[str, str, str, bool]]:
        with psycopg.connect(self.stack.superuser_url("notifications")) as connection:
            cursor = connection.execute(query.encode())
            rows: list[tuple[str, str, str, bool]] = cursor.fetchall() if cursor.description else []
            return rows


@asynccontextmanager
async def killer(seed: str) -> AsyncIterator[Killer]:
    """On a suite of its own."""
    services = ("directory", "conversations", "notifications")
    async with Stack.throwaway(overrides=HURRIED, services=services) as stack:
        suite = Suite(find({"LOCAL_STATE": str(stack.plan.state.directory)}))
        try:
            told = await patients(suite, clinics=2, each=20)
            yield Killer(stack, suite, told, random.Random(seed))
        finally:
            await suite.close()


async def main(kills: int, seed: str) -> None:
    async with killer(seed) as killing:
        found = await killing.run(kills)
    print(f"seed {seed}: {found}")
    assert (found.lost, found.outside_window) == (0, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Kills notifications at the edges of its states.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**9)))
    arguments = parser.parse_args()
    asyncio.run(main(arguments.kills, arguments.seed))
