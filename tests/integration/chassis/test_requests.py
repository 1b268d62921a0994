"""A repeat of a mutation answers with what the first made (P2)."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.chassis import requests
from services.chassis.errors import Aborted, AlreadyExists
from services.chassis.identity import Caller, Role


@pytest.fixture
def caller():
    now = datetime.now(UTC)
    return Caller(Role.STAFF, str(uuid4()), uuid4(), now, person_id=uuid4(), session_id=uuid4())


@pytest.fixture
def make(app, caller):
    """A use case that makes something with a new id; its answer is the id of what is there."""

    async def make(request_id, *, by=caller, method="MakeThing", content="thing", fails=False):
        result_id = uuid4()

        async def work(connection, _):
            earlier = await requests.claim(
                connection, by, request_id, method=method, content=content, result_id=result_id
            )
            await asyncio.sleep(0.01)  # so that two at once overlap
            if fails:
                raise Aborted("lost")
            return earlier or result_id

        return await app.transact(work, clinics=[by.clinic])

    return make


async def test_a_repeat_answers_with_what_the_first_made(make):
    request_id = uuid4()

    assert await make(request_id) == await make(request_id)


async def test_another_request_makes_another(make):
    assert await make(uuid4()) != await make(uuid4())


async def test_many_at_once_make_one(make):
    request_id = uuid4()

    made = await asyncio.gather(*(make(request_id) for _ in range(6)))

    assert len(set(made)) == 1


async def test_one_that_was_rolled_back_does_not_count(make, look):
    request_id = uuid4()
    with pytest.raises(Aborted):
        await make(request_id, fails=True)

    made = await make(request_id)

    assert look("select result_id from requests") == [(made,)]


async def test_of_two_at_once_the_second_makes_it_where_the_first_is_rolled_back(make, look):
    request_id = uuid4()

    both = (make(request_id, fails=True), make(request_id))
    outcomes = await asyncio.gather(*both, return_exceptions=True)

    assert isinstance(outcomes[0], Aborted)
    assert look("select result_id from requests") == [(outcomes[1],)]


@pytest.mark.parametrize("change", [{"content": "other"}, {"method": "BreakThing"}])
async def test_the_same_id_for_something_else_is_refused(make, change):
    request_id = uuid4()
    await make(request_id)

    with pytest.raises(AlreadyExists) as refused:
        await make(request_id, **change)

    assert refused.value.reason == "IDEMPOTENCY_MISMATCH"
    assert refused.value.metadata == {"request_id": str(request_id)}


async def test_another_actor_s_id_is_another_request(make, caller):
    request_id = uuid4()
    colleague = replace(caller, name=str(uuid4()))
    namesake = replace(caller, clinic_id=uuid4())

    made = [await make(request_id, by=each) for each in (caller, colleague, namesake)]

    assert len(set(made)) == 3


async def test_what_is_asked_for_is_stored_as_a_hash(make, look):
    await make(uuid4(), content="CANARY")

    ((row,),) = look("select requests::text from requests")
    assert "CANARY" not in row
    assert b"CANARY".hex() not in row
