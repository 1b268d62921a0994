"""What the replica does not hold is asked of the directory, by many at once only once."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.chassis.errors import SessionEnded, Unavailable
from services.chassis.identity import Caller, Role
from services.directory_replica.gate import Gate
from services.directory_replica.states import ProfileState, SessionState, Version
from services.messaging_rule import Side
from tests.support.conversations_world import a_profile, a_session


@pytest.fixture
def profile(clinic_id):
    return a_profile(clinic_id)


def _look_up(replica, profile):
    return replica.look_up(profile.clinic_id, ProfileState, profile.profile_id)


async def test_a_state_is_read_through(replica, directory, held, profile):
    directory.now_is(profile)

    assert await _look_up(replica, profile)
    assert await held(profile) == profile


async def test_what_the_directory_does_not_have_is_not_there(replica, held, profile):
    assert not await _look_up(replica, profile)
    assert await held(profile) is None


async def test_many_at_once_make_one_call(replica, directory, profile):
    directory.now_is(profile)

    found = await asyncio.gather(*(_look_up(replica, profile) for _ in range(20)))

    assert (found, directory.asked) == ([True] * 20, 1)


async def test_the_next_makes_its_own_call(replica, directory, held, profile):
    directory.now_is(profile)
    await _look_up(replica, profile)
    changed = replace(profile, stamp=Version(incarnation="i1", version=2), do_not_email=True)
    directory.now_is(changed)

    await _look_up(replica, profile)

    assert (await held(profile), directory.asked) == (changed, 2)


async def test_look_ups_of_two_people_are_two_calls(replica, directory, clinic_id):
    people = [a_profile(clinic_id), a_profile(clinic_id)]
    for person in people:
        directory.now_is(person)

    await asyncio.gather(*(_look_up(replica, person) for person in people))

    assert directory.asked == 2


async def test_a_directory_out_of_reach_is_told_to_all(replica, directory, profile):
    directory.reachable = False

    calls = (_look_up(replica, profile) for _ in range(5))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5
    directory.reachable = True
    directory.now_is(profile)
    assert await _look_up(replica, profile)


async def test_who_hangs_up_does_not_take_the_answer_from_the_others(replica, directory, profile):
    directory.now_is(profile)
    first = asyncio.create_task(_look_up(replica, profile))
    others = [asyncio.create_task(_look_up(replica, profile)) for _ in range(3)]
    await asyncio.sleep(0)

    first.cancel()

    assert await asyncio.gather(*others) == [True] * 3
    assert directory.asked == 1


# The gate, which looks up sessions.


@pytest.fixture
def session(clinic_id):
    return a_session(clinic_id, Side.STAFF, uuid4())


@pytest.fixture
def caller(session):
    return Caller(
        Role.STAFF,
        str(session.person_id),
        session.clinic_id,
        datetime.now(UTC) + timedelta(minutes=1),
        person_id=session.person_id,
        session_id=session.session_id,
    )


@pytest.fixture
def enter(app, replica):
    """A call; its answer is how often its work was run."""

    async def enter(caller):
        runs = 0

        async def work(connection, now):
            nonlocal runs
            runs += 1

        await Gate(app, replica).run(caller, work)
        return runs

    return enter


async def test_a_call_of_a_session_that_is_alive_goes_in(
    replica, directory, enter, session, caller
):
    await replica.apply([session])

    assert (await enter(caller), directory.asked) == (1, 0)


async def test_a_session_that_has_ended_is_refused_without_asking(
    replica, directory, enter, session, caller
):
    await replica.apply([replace(session, ended_at=datetime.now(UTC))])

    with pytest.raises(SessionEnded):
        await enter(caller)
    assert directory.asked == 0


@pytest.mark.parametrize(
    "stranger",
    [
        {"person_id": uuid4()},
        {"role": Role.PATIENT},
        {"clinic_id": uuid4()},
        {"session_id": uuid4()},
    ],
)
async def test_a_session_is_of_its_own_person_alone(replica, enter, session, caller, stranger):
    await replica.apply([session])

    with pytest.raises(SessionEnded):
        await enter(replace(caller, **stranger))


async def test_a_session_that_is_not_held_yet_is_looked_up(directory, enter, session, caller):
    directory.now_is(session)

    assert (await enter(caller), directory.asked) == (1, 1)


async def test_a_session_that_nobody_knows_is_refused(directory, enter, caller):
    with pytest.raises(SessionEnded):
        await enter(caller)
    assert directory.asked == 1


async def test_an_unknown_session_cannot_be_judged_while_the_directory_is_away(
    directory, enter, caller
):
    directory.reachable = False

    with pytest.raises(Unavailable):
        await enter(caller)


async def test_a_machine_has_no_session(enter, caller):
    machine = Caller(Role.SERVICE, "export", caller.clinic_id, caller.expires_at)

    assert await enter(machine) == 1


async def test_a_session_ends_for_the_next_call_at_once(replica, enter, session, caller):
    await replica.apply([session])
    await enter(caller)
    stamp = Version(incarnation="i1", version=2)

    await replica.apply([replace(session, stamp=stamp, ended_at=datetime.now(UTC))])

    with pytest.raises(SessionEnded):
        await enter(caller)


async def test_kinds_with_one_id_are_told_apart(replica, directory, clinic_id):
    id = uuid4()
    directory.now_is(a_profile(clinic_id, profile_id=id))

    found = await asyncio.gather(
        replica.look_up(clinic_id, ProfileState, id), replica.look_up(clinic_id, SessionState, id)
    )

    assert list(found) == [True, False]
