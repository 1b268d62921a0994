"""Data keys in the database: made at the first use, and none beside another master's (P22)."""

import asyncio
import base64
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from cryptography.exceptions import InvalidTag

from services.chassis.clock import system_clock
from services.chassis.errors import Unavailable
from services.chassis.identity import Caller, Role
from services.chassis.keys import (
    DataKeys,
    FileKeyProvider,
    WrongMasterKey,
    open_sealed,
    seal,
)
from tests.support.set_clock import SetClock

_ROWS = "select clinic_id, version, wrapped from data_keys order by version"


def _provider(folder):
    """A master key of its own."""
    path = folder / f"{uuid4()}.key"
    path.write_text(base64.b64encode(os.urandom(32)).decode())
    return FileKeyProvider(path)


@pytest.fixture
def provider(tmp_path):
    return _provider(tmp_path)


@pytest.fixture
async def keys(provider, app, worker):
    """The keys as one process holds them, its master key checked."""
    keys = DataKeys(provider, app, system_clock)
    await keys.check(worker)
    return keys


@pytest.fixture
def get(app):
    async def get(keys, clinic, version):
        return await keys.get(clinic, version)

    return get


@pytest.fixture
def ops():
    return Caller(Role.OPS, "support", uuid4(), datetime.now(UTC) + timedelta(minutes=1))


async def test_the_first_use_makes_a_key_and_the_next_finds_it(keys, provider, app, look):
    clinic = uuid4()

    made = await keys.current(clinic)

    assert made.version == 1
    assert await keys.current(clinic) == made
    assert await DataKeys(provider, app, system_clock).current(clinic) == made
    assert [(row[0], row[1]) for row in look(_ROWS)] == [(clinic, 1)]


async def test_many_first_uses_at_once_make_one_key(provider, app, worker, look):
    clinic, processes = uuid4(), [DataKeys(provider, app, system_clock) for _ in range(8)]
    await asyncio.gather(*(keys.check(worker) for keys in processes))

    made = await asyncio.gather(*(keys.current(clinic) for keys in processes))

    assert len({key.secret for key in made}) == 1
    assert len(look(_ROWS)) == 1


async def test_two_clinics_have_two_keys(keys):
    one, other = await keys.current(uuid4()), await keys.current(uuid4())

    assert one.secret != other.secret


async def test_a_key_is_stored_wrapped(keys, look):
    made = await keys.current(uuid4())

    ((_, _, wrapped),) = look(_ROWS)
    assert made.secret not in bytes(wrapped)


async def test_a_key_of_a_version_is_found_again(keys, provider, app, get):
    clinic = uuid4()
    made = await keys.current(clinic)

    assert await get(DataKeys(provider, app, system_clock), clinic, 1) == made.secret


async def test_the_master_key_of_the_stored_keys_passes_the_check(keys, provider, app, worker):
    await keys.current(uuid4())

    await DataKeys(provider, app, system_clock).check(worker)


async def test_another_master_key_is_refused_and_makes_no_key_beside_theirs(
    keys, app, worker, tmp_path, look
):
    clinic, new_clinic = uuid4(), uuid4()
    await keys.current(clinic)
    other = DataKeys(_provider(tmp_path), app, system_clock)

    with pytest.raises(WrongMasterKey):
        await other.check(worker)
    with pytest.raises(WrongMasterKey):
        await other.current(clinic)
    with pytest.raises(Unavailable):
        await other.current(new_clinic)

    assert [row[0] for row in look(_ROWS)] == [clinic]


async def test_no_key_is_made_before_the_check(provider, app, look):
    with pytest.raises(Unavailable):
        await DataKeys(provider, app, system_clock).current(uuid4())

    assert look(_ROWS) == []


async def test_a_wrapped_key_that_was_moved_to_another_clinic_does_not_open(keys, get, look):
    mine, other = uuid4(), uuid4()
    await keys.current(mine)
    look("update data_keys set clinic_id = %s returning 1", other)

    with pytest.raises(WrongMasterKey):
        await get(keys, other, 1)


async def test_a_text_that_was_moved_to_another_clinic_does_not_open(keys):
    one, other = await keys.current(uuid4()), await keys.current(uuid4())
    sealed = seal(one.secret, b"text", b"place")

    with pytest.raises(InvalidTag):
        open_sealed(other.secret, sealed, b"place")


async def test_rotating_makes_a_version_and_keeps_the_older_readable(
    keys, provider, app, worker, ops, get, look
):
    first = await keys.current(ops.clinic)
    ((_, _, wrapped),) = look(_ROWS)

    assert await keys.rotate(ops, uuid4()) == 2

    elsewhere = DataKeys(provider, app, system_clock)
    second = await elsewhere.current(ops.clinic)
    assert (second.version, second.secret != first.secret) == (2, True)
    assert await get(elsewhere, ops.clinic, 1) == first.secret
    assert look(_ROWS)[0][2] != wrapped  # wrapped anew
    assert look("select actor, action, object_id from audit") == [
        ("ops:support", "rotate_keys", str(ops.clinic))
    ]


async def test_a_rotation_is_noticed_within_a_minute(provider, app, worker, ops):
    clock = SetClock()
    keys = DataKeys(provider, app, clock)
    await keys.check(worker)
    await keys.current(ops.clinic)
    await keys.rotate(ops, uuid4())

    clock.advance(seconds=61)

    assert (await keys.current(ops.clinic)).version == 2


async def test_a_repeat_of_a_rotation_makes_no_further_version(keys, ops, look):
    await keys.current(ops.clinic)
    request_id = uuid4()

    versions = [await keys.rotate(ops, request_id) for _ in range(3)]

    assert versions == [2, 2, 2]
    assert len(look(_ROWS)) == 2


async def test_rotations_at_once_make_a_version_each(keys, ops, look):
    await keys.current(ops.clinic)

    versions = await asyncio.gather(*(keys.rotate(ops, uuid4()) for _ in range(4)))

    assert sorted(versions) == [2, 3, 4, 5]


async def test_another_clinic_s_rotation_is_another_request(keys, ops):
    request_id = uuid4()
    await keys.current(ops.clinic)

    assert await keys.rotate(ops, request_id) == 2
    assert await keys.rotate(replace(ops, clinic_id=uuid4()), request_id) == 1


async def test_another_master_key_rotates_nothing(keys, app, worker, ops, tmp_path, look):
    await keys.current(ops.clinic)
    before = look(_ROWS)

    with pytest.raises(WrongMasterKey):
        await DataKeys(_provider(tmp_path), app, system_clock).rotate(ops, uuid4())

    assert look(_ROWS) == before
    assert look("select from audit") == []
