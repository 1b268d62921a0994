"""The roads by which states come into a replica: the bus and the sweep, and the whole set anew."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import text

from clinic.directory.v1 import directory_events_pb2 as pb
from services.chassis.backbone import Backbone
from services.chassis.clock import system_clock
from services.chassis.errors import OutOfRange, Unavailable
from services.chassis.inbox import Malformed
from services.chassis.outbox import Event
from services.directory_replica import feed
from services.directory_replica.convert import state_of_event, state_of_message
from services.directory_replica.feed import feed_replica, fill
from services.directory_replica.states import ProfileState, Version
from services.messaging_rule import Override
from tests.support.background import running
from tests.support.conversations_world import a_clinic, a_profile, a_staff_member
from tests.support.eventually import eventually
from tests.support.grpc_world import Keys
from tests.support.operations_world import settings, write_signing_key


class Directory:
    """What it says that everything now is, and the events that it still has."""

    def __init__(self):
        self.states = []
        self.events = []
        self.incarnation = "i1"
        self.first_position = 1
        self.streamed = 0
        self.breaks_after = None
        self.while_streaming = lambda: None

    async def stream_states(self, after=None):
        self.streamed += 1
        for number, state in enumerate(self.states):
            if number == self.breaks_after:
                raise Unavailable("not now")
            yield state
        self.while_streaming()

    async def list_events(self, incarnation, after, most):
        last = self.first_position + len(self.events) - 1
        if incarnation != self.incarnation or not self.first_position - 1 <= after <= last:
            raise OutOfRange(
                "gone",
                incarnation=self.incarnation,
                oldest_position=str(self.first_position),
                last_position=str(last),
            )
        return self.events[after - self.first_position + 1 :][:most]

    def tells(self, profile):
        """The profile changes, and its event has a position."""
        position = self.first_position + len(self.events)
        self.events.append(_event(profile, position, self.incarnation))


def _event(profile, position=1, incarnation="i1", **details):
    payload = pb.ProfileState(
        clinic_id=str(profile.clinic_id),
        profile_id=str(profile.profile_id),
        version=profile.stamp.version,
        incarnation=profile.stamp.incarnation,
        details_version=profile.details_version,
        do_not_email=profile.do_not_email,
    )
    given = {
        "event_id": uuid4(),
        "clinic_id": profile.clinic_id,
        "source": "directory",
        "kind": "state",
        "type": "profile_state",
        "aggregate_id": profile.profile_id,
        "position": position,
        "incarnation": incarnation,
        "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
        "trace": "",
        "payload": payload.SerializeToString(),
    }
    return Event(**given | details)


@pytest.fixture
def directory():
    return Directory()


@pytest.fixture
async def sweep(replica_databases, nats_server, tmp_path, replica, directory):
    """Runs the sweep of a service that holds a replica, until the block ends."""
    keys = Keys(tmp_path, system_clock)
    signing_key = write_signing_key(keys, tmp_path, "service:export")
    backbone = Backbone(
        "conversations", settings(replica_databases, nats_server, keys, signing_key)
    )
    await backbone.worker.connect(lambda c: c.execute(text("delete from sweeps")))
    feed_replica(backbone, replica, directory, directory)
    yield lambda: running(backbone.tasks["directory sweep"]())
    for close in backbone.close:
        await close()


def _next(profile, **changes):
    stamp = Version(incarnation=profile.stamp.incarnation, version=profile.stamp.version + 1)
    return replace(profile, stamp=stamp, **changes)


@pytest.fixture
def holds(held):
    async def holds(*states):
        async def probe():
            return [await held(state) for state in states] == list(states)

        await eventually(probe)

    return holds


async def test_an_empty_replica_is_filled_and_then_follows(directory, sweep, holds, clinic_id):
    clinic, staff, profile = (
        a_clinic(clinic_id),
        a_staff_member(clinic_id),
        a_profile(clinic_id),
    )
    directory.states = [clinic, staff, profile]
    directory.first_position, directory.events = 100, [_event(profile, 100)]
    async with sweep():
        await holds(clinic, staff, profile)

    changed = _next(profile, do_not_email=True)
    directory.tells(changed)
    async with sweep():
        await holds(changed)

    assert directory.streamed == 1


async def test_what_changes_while_the_states_stream_in_is_not_missed(
    directory, sweep, holds, clinic_id
):
    profile = a_profile(clinic_id)
    changed = _next(profile, do_not_email=True)
    directory.states = [profile]
    directory.while_streaming = lambda: directory.tells(changed)

    async with sweep():
        await holds(changed)


async def test_a_replica_that_is_too_old_is_filled_anew(directory, sweep, holds, clinic_id):
    profile = a_profile(clinic_id)
    directory.states = [profile]
    async with sweep():
        await holds(profile)

    changed = _next(profile, do_not_email=True)
    directory.states, directory.first_position = [changed], 1_000
    async with sweep():
        await holds(changed)


async def test_a_later_life_of_the_directory_fills_it_anew_with_lower_versions(
    directory, sweep, holds, clinic_id
):
    profile = replace(a_profile(clinic_id), stamp=Version(incarnation="i1", version=50))
    directory.states = [profile]
    async with sweep():
        await holds(profile)

    restored = replace(profile, stamp=Version(incarnation="i2", version=3), do_not_email=True)
    directory.states, directory.incarnation = [restored], "i2"
    async with sweep():
        await holds(restored)


async def test_a_filling_that_breaks_off_begins_again(
    directory, sweep, holds, clinic_id, monkeypatch
):
    monkeypatch.setattr("services.chassis.sweep.PAUSE_SECONDS", 0.01)
    states = [a_profile(clinic_id) for _ in range(3)]
    directory.states, directory.breaks_after = states, 2

    async def tried():
        return directory.streamed >= 2

    async with sweep():
        await eventually(tried)
        directory.breaks_after = None
        await holds(*states)


async def test_the_states_of_many_pages_are_all_taken_in(
    directory, replica, held, clinic_id, monkeypatch
):
    monkeypatch.setattr(feed, "_PAGE", 3)
    directory.states = [a_profile(clinic_id) for _ in range(8)]

    assert await fill(replica, directory) == 8
    assert [await held(state) for state in directory.states] == directory.states


async def test_filling_keeps_what_is_newer(directory, replica, held, clinic_id):
    profile = a_profile(clinic_id)
    await replica.apply([_next(profile)])
    directory.states = [profile]

    await fill(replica, directory)

    assert await held(profile) == _next(profile)


def test_a_state_is_read_from_its_event(clinic_id):
    profile = a_profile(clinic_id)

    assert state_of_event(_event(profile)) == profile


def test_a_type_that_is_not_known_yet_is_passed_over(clinic_id):
    assert state_of_event(_event(a_profile(clinic_id), type="room_state")) is None
    assert state_of_message(pb.State()) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"no protobuf",
        b"",
        pb.ProfileState(clinic_id="no id").SerializeToString(),
        pb.ProfileState(clinic_id="0190a5b0-0000-4000-8000-000000000001").SerializeToString(),
    ],
)
def test_bytes_that_are_no_such_state_are_malformed(clinic_id, payload):
    with pytest.raises(Malformed):
        state_of_event(_event(a_profile(clinic_id), payload=payload))


def test_a_time_beyond_all_calendars_is_malformed(clinic_id):
    state = pb.ClinicState(clinic_id=str(clinic_id))
    state.mail_hold.seconds = 10**15
    event = _event(a_profile(clinic_id), type="clinic_state", payload=state.SerializeToString())

    with pytest.raises(Malformed):
        state_of_event(event)


def test_a_setting_that_is_not_known_yet_lets_nobody_do_more(clinic_id):
    profile = pb.ProfileState(clinic_id=str(clinic_id), profile_id=str(uuid4()))
    profile.MergeFromString(b"\x38\x63")  # messaging_override: 99

    state = state_of_message(pb.State(profile=profile))

    assert isinstance(state, ProfileState)
    assert state.override is Override.INHERIT
