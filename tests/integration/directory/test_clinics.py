"""Clinics, their settings, and who may change them (R1 to R3)."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import grpc

from clinic.directory.v1 import clinic_pb2
from tests.support.directory_world import FULL, LIMITED, STANDARD
from tests.support.grpc_world import failure, reason

ALLOWED = clinic_pb2.MESSAGING_POLICY_ALLOWED
OFF = clinic_pb2.MESSAGING_POLICY_OFF


async def test_a_new_clinic_has_messaging_off_and_a_hold_of_ten_seconds(world, owner):
    settings = (await owner.call("GetMessagingSettings")).messaging_settings

    assert settings.messaging_policy == OFF
    assert settings.mail_hold.ToTimedelta() == timedelta(seconds=10)
    assert not settings.HasField("away_after")


async def test_a_new_clinic_has_one_account_owner_with_full_access(world, owner):
    staff = (await owner.call("ListStaffMembers")).staff_members

    assert [(member.staff_id, member.account_owner) for member in staff] == [(owner.id, True)]
    assert staff[0].access_level == FULL
    assert not staff[0].mail_opted_in


async def test_a_repeat_of_create_clinic_returns_the_first(world):
    request_id = str(uuid4())

    first = await world.clinic(request_id=request_id)
    second = await world.clinic(request_id=request_id)

    assert (first.clinic_id, first.id) == (second.clinic_id, second.id)


async def test_another_clinic_under_the_same_request_id_is_a_mismatch(world):
    request_id = str(uuid4())
    await world.clinic(request_id=request_id)

    error = await failure(world.clinic(request_id=request_id, clinic_name="Another"))

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "IDEMPOTENCY_MISMATCH",
    )


async def test_two_creations_at_once_make_one_clinic(world):
    request_id = str(uuid4())

    made = await asyncio.gather(*(world.clinic(request_id=request_id) for _ in range(4)))

    assert len({owner.clinic_id for owner in made}) == 1
