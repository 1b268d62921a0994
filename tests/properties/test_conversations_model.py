"""Any history of a clinic, over the real service, against the model (R3 to R22, R27 to R33, R42,
R48 to R55, I1 to I6, I9, I10, I13 to I15, I18, I22, I23, I31 to I37, P5, P6).

MODEL_EXAMPLES and MODEL_STEPS make longer runs.
"""

import asyncio
import os
from functools import partial
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from clinic.conversations.v1 import conversation_pb2, message_pb2
from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.chassis.database import Database
from services.conversations.storage.archival import Archival
from services.conversations.usecases.derive_archival import derive_archival
from services.messaging_rule import Override
from tests.properties.conversations_model import OK, PROFILE, STAFF, Facts, Model, other
from tests.support.conversations_world import ConversationsWorld, conversations_world
from tests.support.grpc_world import reason

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "12"))
STEPS = int(os.environ.get("MODEL_STEPS", "30"))

STAFF_NAMES = ("ann", "bob")
PROFILE_NAMES = ("pat", "pia", "pam")
BODIES = st.sampled_from(
    ["hello", "päť\n\u202edetrever", "\x00nul\x00", " x ", "https://a.example"]
)
SIDES = st.sampled_from([STAFF, PROFILE])
# Seconds before and after the end of the five minutes, far enough from it for a slow machine.
AGES = st.sampled_from([0, 0, 280, 301, 100_000])
MOSTLY = st.sampled_from([True, True, False])
OVERRIDES = st.sampled_from(["INHERIT", "INHERIT", "ALLOW", "BLOCK"])
_CUT_SHORT = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
_SIDES = {STAFF: message_pb2.SIDE_STAFF, PROFILE: message_pb2.SIDE_PROFILE}

_RECOUNTED = """
    select c.id from conversations as c, lateral (
        select count(*) filter (where sender_side = 'profile' and deleted_at is null
                                and sequence > c.staff_read_sequence) as staff_unread,
               count(*) filter (where sender_side = 'staff' and deleted_at is null
                                and sequence > c.profile_read_sequence) as profile_unread,
               coalesce(max(sequence), 0) as last_sequence
        from messages as m where m.clinic_id = c.clinic_id and m.conversation_id = c.id
    ) as counted
    where c.clinic_id = %s
      and (c.staff_unread, c.profile_unread, c.last_sequence)
          is distinct from (counted.staff_unread, counted.profile_unread, counted.last_sequence)
"""
_DUMPED = (
    "select * from conversations where clinic_id = %s order by id",
    "select * from messages where clinic_id = %s order by conversation_id, sequence",
    "select * from read_marks where clinic_id = %s order by 2, 3, 4",
)


class Histories(RuleBasedStateMachine):
    """The rules; what they run on is put into a subclass by the test."""

    world: ConversationsWorld
    archival: Archival
    tables: psycopg.Connection[Any]
    loop: asyncio.AbstractEventLoop

    def run(self, coroutine):
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 300))

    @initialize()
    def a_clinic_whose_people_talk(self):
        self.model = Model(dict.fromkeys(STAFF_NAMES, True), {n: Facts() for n in PROFILE_NAMES})
        self.ids = {}
        self.run(self._settle())
        for staff, profile in (("ann", "pat"), ("ann", "pia"), ("bob", "pat")):
            self.start(staff, profile)
            for side in (STAFF, PROFILE):
                self.post(self.model.threads[staff, profile], side, "hello", uuid4())

    async def _settle(self):
        self.world.clinic_id = uuid4()
        await self.world.clinic()
        self.persons = {name: await self.world.staff() for name in STAFF_NAMES}
        self.persons |= {name: await self.world.profile() for name in PROFILE_NAMES}
        elsewhere = await self.world.clinic(clinic_id=uuid4())
        self.stranger = await self.world.profile(clinic_id=elsewhere)

    # What people do.

    @rule(staff=st.sampled_from(STAFF_NAMES), profile=st.sampled_from(PROFILE_NAMES))
    def start(self, staff, profile):
        found = self.outcome(lambda: self.persons[staff].start(self.persons[profile]))
        assert found[0] == self.model.start(staff, profile)
        if found[0] == OK:
            id = self.ids.setdefault((staff, profile), found[1].conversation_id)
            assert found[1].conversation_id == id

    @rule(data=st.data(), side=SIDES, body=BODIES, times=st.integers(1, 3))
    def send(self, data, side, body, times):
        thread = self.a_thread(data)
        for _ in range(times):
            self.post(thread, side, body, uuid4())

    @rule(data=st.data(), other_body=st.booleans())
    def retry(self, data, other_body):
        thread = self.a_thread(data, with_messages=True)
        said = data.draw(st.sampled_from(thread.said))
        body = f"{said.body} and more" if other_body else said.body
        self.post(thread, said.sender, body, said.request)

    def post(self, thread, side, body, request):
        person, id = self.persons[thread.person(side)], self.id_of(thread)
        found, message = self.outcome(lambda: person.send(id, body, request_id=request))
        assert found == self.model.send(thread, side, body, str(request))
        if found == OK:
            sequence = self.model.earlier(thread, side, str(request)) or 0
            said = thread.said[sequence - 1]
            assert message.sequence == sequence
            assert (message.body, message.HasField("delete_time")) == (
                "" if said.deleted else body,
                said.deleted,
            )

    @rule(data=st.data(), side=SIDES, part=st.floats(0, 1.2))
    def mark(self, data, side, part):
        thread = self.a_thread(data)
        up_to = max(1, round(part * len(thread.said)))
        person = self.persons[thread.person(side)]
        found, unread = self.outcome(lambda: person.mark(self.id_of(thread), up_to))
        assert found == self.model.mark(thread, side, up_to)
        assert found != OK or unread == thread.unread(side)

    @rule(data=st.data(), age=AGES, own=MOSTLY, there=MOSTLY)
    def delete(self, data, age, own, there):
        thread = self.a_thread(data, with_messages=True)
        sequence = data.draw(st.integers(1, len(thread.said)))
        said = thread.said[sequence - 1]
        side = said.sender if own else other(said.sender)
        self.age(thread, sequence, age)
        sequence += 0 if there else len(thread.said)
        person = self.persons[thread.person(side)]
        found, tombstone = self.outcome(lambda: person.delete(self.id_of(thread), sequence))
        assert found == self.model.delete(thread, side, sequence)
        assert found != OK or (tombstone.body, tombstone.HasField("delete_time")) == ("", True)

    def age(self, thread, sequence, seconds):
        """As if the message had been sent so long ago; it never becomes younger."""
        said = thread.said[sequence - 1]
        if said.old or seconds == 0:
            return
        self.tables.execute(
            "update messages set sent_at = clock_timestamp() - make_interval(secs => %s)"
            " where conversation_id = %s and sequence = %s",
            (seconds, self.id_of(thread), sequence),
        )
        said.old = seconds > 300

    # What the directory does.

    @rule(data=st.data(), gate=st.sampled_from(["policy", "override", "flag", "leave"]))
    def what_may_be_sent_changes(self, data, gate):
        """Each gate is open more often than not, or nothing would be sent any more."""
        match gate:
            case "policy":
                self.model.allowed = data.draw(MOSTLY)
                self.run(self.world.clinic(allowed=self.model.allowed))
            case "leave":
                staff = data.draw(st.sampled_from(STAFF_NAMES))
                active = self.model.staff[staff] = not self.model.staff[staff]
                change = self.world.reactivate if active else self.world.deactivate
                self.run(change(self.persons[staff]))
            case _:
                profile = data.draw(st.sampled_from(PROFILE_NAMES))
                facts = self.model.profiles[profile]
                if gate == "override":
                    facts.override = data.draw(OVERRIDES)
                else:
                    facts.do_not_email = not data.draw(MOSTLY)
                override, flag = Override(facts.override), facts.do_not_email
                person = self.persons[profile]
                self.run(self.world.update(person, override=override, do_not_email=flag))

    @precondition(lambda self: len(self.model.live()) > 1)
    @rule(data=st.data())
    def merge(self, data):
        secondary, into = self.two_live(data)
        self.model.profiles[secondary].merged_into = into
        self.run(self.world.merge(self.persons[secondary], self.persons[into]))

    @precondition(lambda self: len(self.model.live()) < len(PROFILE_NAMES))
    @rule(data=st.data())
    def unmerge(self, data):
        merged = sorted(set(PROFILE_NAMES) - set(self.model.live()))
        secondary = data.draw(st.sampled_from(merged))
        self.model.profiles[secondary].merged_into = None
        self.run(self.world.unmerge(self.persons[secondary]))

    @precondition(lambda self: len(self.model.live()) > 1)
    @rule(data=st.data(), derived=st.booleans())
    def merge_and_unmerge_give_back_an_equal_dump(self, data, derived):
        secondary, into = self.two_live(data)
        self.derive()
        before = self.dump()
        self.run(self.world.merge(self.persons[secondary], self.persons[into]))
        if derived:
            self.derive()
        self.run(self.world.unmerge(self.persons[secondary]))
        self.derive()
        assert self.dump() == before

    @rule()
    def the_reasons_are_derived(self):
        self.derive()
        rows = self.tables.execute(
            "select id, reasons from conversations where clinic_id = %s", (self.world.clinic_id,)
        )
        found = {str(id): {reason.split(":")[0] for reason in reasons} for id, reasons in rows}
        assert found == {
            self.ids[key]: self.model.causes(thread) for key, thread in self.model.threads.items()
        }

    # What must hold at every step.

    @rule(data=st.data(), side=SIDES)
    def nobody_else_reaches_a_thread(self, data, side):
        thread = self.a_thread(data)
        id = self.id_of(thread)
        strangers = [
            person
            for name, person in self.persons.items()
            if name not in (thread.staff, thread.profile)
        ]
        attempts = [
            partial(attempt, id, *more)
            for person in (*strangers, self.stranger)
            for attempt, *more in (
                (person.get,),
                (person.messages,),
                (person.send,),
                (person.mark, 1),
                (person.delete, 1),
            )
        ]
        outcomes = self.run(self.gathered([self.patiently(attempt) for attempt in attempts]))
        assert {found for found, _ in outcomes} == {"CONVERSATION_NOT_FOUND"}

    @invariant()
    def unread_served_is_unread_recounted(self):
        clinic = (self.world.clinic_id,)
        assert self.tables.execute(_RECOUNTED, clinic).fetchall() == []

    @invariant()
    def everybody_sees_what_the_model_says(self):
        people = list(self.model.people())
        looks = [self.patiently(partial(self.look, *person)) for person in people]
        seen = self.run(self.gathered(looks))
        for (side, name), (_, (badge, inbox)) in zip(people, seen, strict=True):
            assert badge == self.model.badge(side, name)
            threads = self.model.inbox(side, name)
            assert [self.shown(entry) for entry in inbox] == [
                self.expected(side, thread) for thread in threads
            ]

    @rule(data=st.data())
    def both_sides_read_the_same(self, data):
        thread = self.a_thread(data)
        for side in (STAFF, PROFILE):
            person, id = self.persons[thread.person(side)], self.id_of(thread)
            found, messages = self.outcome(lambda: person.messages(id))  # noqa: B023
            assert (found == OK) == self.model.sees(side, thread)
            if found == OK:
                assert [
                    (m.sequence, m.sender_side, m.body, m.HasField("delete_time")) for m in messages
                ] == [
                    (n, _SIDES[said.sender], "" if said.deleted else said.body, said.deleted)
                    for n, said in enumerate(thread.said, 1)
                ]
                assert [m.HasField("read_time") for m in messages] == [
                    said.read for said in thread.said
                ]

    async def look(self, side, name):
        person = self.persons[name]
        summary = await self.world.stub.GetUnreadSummary(
            pb.GetUnreadSummaryRequest(), metadata=person.metadata
        )
        return (summary.unread_messages, summary.unread_conversations), await person.inbox()

    def shown(self, entry):
        preview = entry.last_message
        return (
            entry.conversation_id,
            entry.last_sequence,
            entry.unread_count,
            entry.can_write,
            conversation_pb2.CannotWriteReason.Name(entry.cannot_write_reason).split("_", 3)[3],
            {
                (
                    conversation_pb2.ArchiveCause.Name(r.cause).split("_", 2)[2],
                    r.surviving_profile_id,
                )
                for r in entry.archive_reasons
            },
            (preview.body, preview.HasField("delete_time")),
        )

    def expected(self, side, thread):
        why = self.model.why_not(side, thread.staff, thread.profile)
        last = thread.said[-1] if thread.said else None
        survivor = str(self.persons[self.model.survivor(thread.profile)].id)
        return (
            self.id_of(thread),
            len(thread.said),
            thread.unread(side),
            why is None,
            why or "UNSPECIFIED",
            {
                (cause, survivor if cause == "MERGED_AWAY" else "")
                for cause in self.model.causes(thread)
            },
            ("" if last is None or last.deleted else last.body, bool(last and last.deleted)),
        )

    # How it is done.

    def outcome(self, attempt):
        return self.run(self.patiently(attempt))

    async def patiently(self, attempt):
        """OK and the answer, or the reason; a call that a busy machine cut short is repeated."""
        while True:
            try:
                return OK, await attempt()
            except grpc.aio.AioRpcError as error:
                if error.code() not in _CUT_SHORT:
                    return reason(error), None

    @staticmethod
    async def gathered(coroutines):
        return await asyncio.gather(*coroutines)

    def a_thread(self, data, *, with_messages=False):
        threads = [t for t in self.model.threads.values() if t.said or not with_messages]
        return data.draw(st.sampled_from(threads))

    def id_of(self, thread):
        return self.ids[thread.staff, thread.profile]

    def two_live(self, data):
        live = st.sampled_from(self.model.live())
        return data.draw(st.tuples(live, live).filter(lambda pair: pair[0] != pair[1]))

    def derive(self):
        async def all_of_them():
            while await derive_archival(self.archival):
                pass

        self.run(all_of_them())

    def dump(self):
        clinic = (self.world.clinic_id,)
        return [self.tables.execute(query, clinic).fetchall() for query in _DUMPED]


@pytest.fixture(scope="module")
async def running(service_databases, tmp_path_factory):
    databases = service_databases("conversations")
    worker = Database(databases.worker, size=2, name="test")
    folder = tmp_path_factory.mktemp("model")
    async with conversations_world(databases, folder) as world:
        archival = Archival(world.database, worker)
        with psycopg.connect(databases.superuser, autocommit=True) as tables:
            yield {
                "world": world,
                "archival": archival,
                "tables": tables,
                "loop": asyncio.get_running_loop(),
            }
    await worker.close()


@pytest.mark.timeout(3_600)
def test_every_history_is_one_of_the_model(running):
    machine = type("Machine", (Histories,), running)

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            database=None,
            print_blob=True,
        ),
    )
