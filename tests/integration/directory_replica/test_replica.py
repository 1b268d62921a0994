"""A state is kept by its highest version of the latest incarnation; nothing else matters (P5)."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from services.directory_replica.states import EndCause, Version
from services.messaging_rule import Override, Side
from tests.support.conversations_world import a_clinic, a_profile, a_session, a_staff_member


def _at(state, version, incarnation="i1", **changes):
    return replace(state, stamp=Version(incarnation=incarnation, version=version), **changes)


@pytest.fixture(params=["clinic", "staff", "profile", "session"])
def change(request, clinic_id):
    """A state, and the same with something else in it."""
    now = datetime.now(UTC)
    clinic, staff = a_clinic(clinic_id), a_staff_member(clinic_id)
    profile, session = a_profile(clinic_id), a_session(clinic_id, Side.STAFF, uuid4())
    ended = replace(session, ended_at=now, end_cause=EndCause.MERGED)
    return {
        "clinic": (clinic, replace(clinic, messaging_allowed=False)),
        "staff": (staff, replace(staff, active=False, deactivation_id=uuid4())),
        "profile": (profile, replace(profile, merged_into=uuid4(), merge_id=uuid4())),
        "session": (session, ended),
    }[request.param]


async def test_a_state_is_held_as_it_was_told(replica, held, change):
    for version, state in enumerate(change, start=1):
        told = _at(state, version)
        await replica.apply([told])

        assert await held(told) == told


async def test_every_fact_of_a_state_is_held(replica, held, clinic_id):
    now = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)
    states = [
        replace(
            a_clinic(clinic_id),
            details_version=7,
            mail_hold=timedelta(minutes=15),
            away_after=timedelta(days=3, microseconds=1),
        ),
        a_staff_member(clinic_id, opted_in_at=now, account_owner=True, details_version=9),
        a_profile(clinic_id, override=Override.BLOCK, do_not_email=True),
        replace(a_session(clinic_id, Side.PROFILE, uuid4()), opened_at=now, last_activity_at=now),
    ]

    await replica.apply(states)

    assert [await held(state) for state in states] == states


@pytest.mark.parametrize("hold", [timedelta(microseconds=1), timedelta(days=10_000)])
async def test_a_time_of_any_length_is_held(replica, held, clinic_id, hold):
    state = replace(a_clinic(clinic_id), mail_hold=hold)

    await replica.apply([state])

    assert await held(state) == state


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (("i1", 1), ("i1", 2), "after"),
        (("i1", 2), ("i1", 1), "before"),
        (("i1", 2), ("i1", 2), "before"),
        (("i1", 9), ("i2", 1), "after"),
        (("i2", 1), ("i1", 9), "before"),
        (("i1", 9), ("i1", 10), "after"),
    ],
)
async def test_the_later_of_two_versions_is_kept(replica, held, change, before, after, kept):
    first = _at(change[0], before[1], before[0])
    second = _at(change[1], after[1], after[0])

    await replica.apply([first])
    await replica.apply([second])

    assert await held(first) == (second if kept == "after" else first)


async def test_of_several_versions_in_one_batch_the_latest_is_kept(replica, held, change):
    versions = [_at(change[number % 2], number) for number in (2, 5, 1, 4, 3)]

    await replica.apply(versions)

    assert await held(versions[0]) == versions[1]


async def test_a_batch_mixes_clinics_and_kinds(replica, held):
    states = [
        state
        for clinic_id in (uuid4() for _ in range(3))
        for state in (
            a_session(clinic_id, Side.PROFILE, uuid4()),
            a_clinic(clinic_id),
            a_profile(clinic_id),
            a_staff_member(clinic_id),
        )
    ]

    await replica.apply(states[::-1])

    assert [await held(state) for state in states] == states


async def test_new_and_known_and_old_go_together(replica, held, clinic_id):
    known, newer = a_profile(clinic_id), a_profile(clinic_id)
    await replica.apply([_at(known, 5), newer])
    fresh = a_staff_member(clinic_id)
    changed = _at(newer, 2, do_not_email=True)

    await replica.apply([_at(known, 4, do_not_email=True), changed, fresh])

    assert await held(known) == _at(known, 5)
    assert await held(newer) == changed
    assert await held(fresh) == fresh


async def test_versions_at_once_leave_the_latest(replica, held, change):
    versions = [_at(change[number % 2], number) for number in range(1, 13)]

    await asyncio.gather(*(replica.apply([version]) for version in versions[::-1]))

    assert await held(versions[0]) == versions[-1]


async def test_a_clinic_is_told_apart_from_another_with_the_same_ids(replica, held, clinic_id):
    mine = a_profile(clinic_id)
    theirs = replace(mine, clinic_id=uuid4(), do_not_email=True)

    await replica.apply([mine, theirs])

    assert (await held(mine), await held(theirs)) == (mine, theirs)


async def test_those_who_draw_consequences_are_told_once_it_is_committed(
    replica, applied, clinic_id
):
    await replica.apply([])
    assert applied == []

    await replica.apply([a_clinic(clinic_id), a_profile(clinic_id)])
    assert applied == [True]


async def test_what_was_derived_and_fetched_is_kept_until_a_later_life_of_the_directory(
    replica, replica_databases, clinic_id
):
    profile = a_profile(clinic_id)
    await replica.apply([profile])
    with psycopg.connect(replica_databases.superuser) as connection:
        connection.execute(
            "insert into conversations"
            " (clinic_id, id, staff_id, profile_id, created_at, last_activity_at)"
            " values (%s, %s, %s, %s, now(), now())",
            [clinic_id, uuid4(), uuid4(), profile.profile_id],
        )

    def derived(change=""):
        with psycopg.connect(replica_databases.superuser) as connection:
            if change:
                connection.execute(f"update replica_profiles set {change}")
            return connection.execute(
                "select derived_version, details_held, display_name, wanted"
                " from replica_profiles where profile_id = %s",
                [profile.profile_id],
            ).fetchone()

    derived("derived_version = 1, details_held = 1, display_name = 'Pat', wanted = true")
    await replica.apply([_at(profile, 2)])
    assert derived() == (1, 1, "Pat", True)

    await replica.apply([_at(profile, 1, "i2")])
    assert derived() == (0, 0, "Pat", True)


async def test_a_column_more_breaks_no_reader_that_is_running(
    replica, held, replica_databases, change
):
    await replica.apply(change[:1])
    for _ in range(10):  # so that the driver has prepared the statement
        await held(change[0])
    table = {
        "ClinicState": "replica_clinics",
        "StaffState": "replica_staff",
        "ProfileState": "replica_profiles",
        "SessionState": "replica_sessions",
    }[type(change[0]).__name__]

    with psycopg.connect(replica_databases.owner) as connection:
        connection.execute(f"alter table {table} add column later text")
    try:
        assert await held(change[0]) == change[0]
    finally:
        with psycopg.connect(replica_databases.owner) as connection:
            connection.execute(f"alter table {table} drop column later")
