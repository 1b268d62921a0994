"""A replica ends in the same place, whatever order, repetition and loss its states come in (P5)."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chassis.database import Database
from services.chassis.inbox import Malformed
from services.chassis.outbox import Event
from services.directory_replica import store
from services.directory_replica.convert import state_of_event
from services.directory_replica.replica import Replica, id_of, newest_of
from services.directory_replica.states import (
    ClinicState,
    EndCause,
    ProfileState,
    SessionState,
    StaffState,
    State,
    Version,
)
from services.messaging_rule import Override, Side
from tests.support.conversations_world import StatedDirectory

_CLINICS = [UUID(int=number) for number in (1, 2)]
_IDS = [UUID(int=number) for number in (3, 4)]

_stamps = st.builds(
    Version, incarnation=st.sampled_from(["i1", "i2"]), version=st.integers(1, 2**62)
)
_details = st.integers(0, 2**62)
_moments = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=40_000)).map(
    lambda since: datetime(1990, 1, 1, tzinfo=UTC) + since
)
_spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=365))
_some_id = st.uuids()


def _states(clinics, ids):
    """Any state of a few clinics and people, so that many are of the same."""
    clinic, id = st.sampled_from(clinics), st.sampled_from(ids)
    common = {"clinic_id": clinic, "stamp": _stamps}
    return st.one_of(
        st.builds(
            ClinicState,
            **common,
            details_version=_details,
            messaging_allowed=st.booleans(),
            mail_hold=_spans,
            away_after=st.none() | _spans,
        ),
        st.builds(
            StaffState,
            **common,
            staff_id=id,
            details_version=_details,
            active=st.booleans(),
            deactivation_id=st.none() | _some_id,
            opted_in_at=st.none() | _moments,
            account_owner=st.booleans(),
        ),
        st.builds(
            ProfileState,
            **common,
            profile_id=id,
            details_version=_details,
            override=st.sampled_from(Override),
            merged_into=st.none() | _some_id,
            merge_id=st.none() | _some_id,
            do_not_email=st.booleans(),
        ),
        st.builds(
            SessionState,
            **common,
            session_id=id,
            side=st.sampled_from(Side),
            person_id=_some_id,
            opened_at=_moments,
            last_activity_at=_moments,
            ended_at=st.none() | _moments,
            end_cause=st.none() | st.sampled_from(EndCause),
        ),
    )


def _key(state: State) -> tuple[str, str, str]:
    return type(state).__name__, str(state.clinic_id), str(id_of(state))


def _order(state: State) -> tuple[str, int]:
    return state.stamp.incarnation, state.stamp.version


@st.composite
def _histories(draw):
    """What was true, each version once; and the batches in which a replica hears of some of it."""
    told = draw(
        st.lists(
            _states(_CLINICS, _IDS),
            min_size=1,
            max_size=12,
            unique_by=lambda state: (_key(state), _order(state)),
        )
    )
    heard = draw(st.lists(st.sampled_from(told), max_size=20))
    cuts = sorted(draw(st.lists(st.integers(0, len(heard)), max_size=4)))
    bounds = [0, *cuts, len(heard)]
    batches = [heard[a:b] for a, b in pairwise(bounds)]
    return told, batches


@given(st.lists(_states(_CLINICS, _IDS), max_size=20), st.randoms())
def test_the_newest_of_a_batch_do_not_depend_on_its_order(states, random):
    shuffled = [*states, *states[: len(states) // 2]]
    random.shuffle(shuffled)

    newest, again = newest_of(states), newest_of(shuffled)

    assert {_key(state): _order(state) for state in newest} == {
        _key(state): _order(state) for state in again
    }
    assert len({_key(state) for state in newest}) == len(newest)
    for state in newest:
        assert _order(state) == max(_order(s) for s in states if _key(s) == _key(state))
    clinics = [clinic for clinic, _ in groupby(newest, lambda state: state.clinic_id)]
    assert len(clinics) == len(set(clinics))


@given(
    st.sampled_from(["clinic_state", "staff_state", "profile_state", "session_state"]),
    st.binary(max_size=60),
)
def test_any_bytes_are_a_state_or_malformed(type, payload):
    event = Event(
        event_id=UUID(int=1),
        clinic_id=UUID(int=2),
        source="directory",
        kind="state",
        type=type,
        aggregate_id=UUID(int=3),
        position=1,
        incarnation="i1",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        trace="",
        payload=payload,
    )
    with suppress(Malformed):
        assert state_of_event(event) is not None


@pytest.fixture(scope="module")
async def database(postgres):
    databases = postgres.clone("conversations", label="replica_properties")
    database = Database(databases.app, size=4, name="replica properties")
    yield database
    await database.close()


def _in_new_clinics(states, names):
    """The same history in clinics that no other example has used."""
    return [replace(state, clinic_id=names[state.clinic_id]) for state in states]


async def _held(database, state):
    readers = {
        StaffState: store.staff,
        ProfileState: store.profile,
        SessionState: store.session,
    }

    async def read(connection, _):
        if isinstance(state, ClinicState):
            return await store.clinic(connection, state.clinic_id)
        return await readers[type(state)](connection, state.clinic_id, id_of(state))

    return await database.transact(read, clinics=[state.clinic_id])


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(_histories())
async def test_any_order_repetition_and_loss_and_then_the_whole_set_end_in_the_same_rows(
    database, history
):
    told, batches = history
    names = {clinic: uuid4() for clinic in _CLINICS}
    replica = Replica(database, StatedDirectory(), applied=lambda: None)
    current = newest_of(_in_new_clinics(told, names))

    for batch in batches:
        await replica.apply(_in_new_clinics(batch, names))
    await replica.apply(current[::-1])

    for state in current:
        assert await _held(database, state) == state


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(_histories())
async def test_what_is_held_is_at_any_time_the_latest_that_was_heard(database, history):
    _, batches = history
    names = {clinic: uuid4() for clinic in _CLINICS}
    replica = Replica(database, StatedDirectory(), applied=lambda: None)
    heard: list[State] = []

    for batch in batches:
        heard += _in_new_clinics(batch, names)
        await replica.apply(_in_new_clinics(batch, names))

        for state in newest_of(heard):
            assert await _held(database, state) == state
