"""Clinics, their settings, and who may change them (R1 to R3)."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

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


async def test_full_access_and_the_owner_turn_messaging_on(world, owner):
    for person in (owner, await world.staff(owner.clinic_id, FULL)):
        for policy in (ALLOWED, OFF):
            answer = await person.update_settings(messaging_policy=policy)

            assert answer.messaging_settings.messaging_policy == policy
            assert answer.applied
    state = await world.state(owner.clinic_id, clinic=True)
    assert (state.messaging_policy, state.version) == (OFF, 5)


async def test_every_change_of_the_settings_is_kept_with_who_made_it(world, owner):
    deputy = await world.staff(owner.clinic_id, FULL)
    await deputy.update_settings(messaging_policy=ALLOWED)
    await deputy.update_settings(messaging_policy=ALLOWED)
    name = {"clinic": {"name": "Another"}, "update_mask": {"paths": ["name"]}}
    await world.machine("UpdateClinic", clinic_id=owner.clinic_id, **name)
    await owner.update_settings(sender_name="The Harbour", mail_hold=timedelta(seconds=30))

    kept = world.rows(
        "select actor, messaging_policy, sender_name, mail_hold from clinic_settings"
        " where clinic_id = %s order by settings_version",
        UUID(owner.clinic_id),
    )

    assert kept == [
        ("platform:gateway", "OFF", "", timedelta(seconds=10)),
        (f"staff:{deputy.id}", "ALLOWED", "", timedelta(seconds=10)),
        (f"staff:{owner.id}", "ALLOWED", "The Harbour", timedelta(seconds=30)),
    ]


async def test_nobody_else_does_and_the_attempt_is_audited(world, owner):
    for level in (LIMITED, STANDARD):
        person = await world.staff(owner.clinic_id, level)

        error = await failure(person.update_settings(messaging_policy=ALLOWED))

        assert (error.code(), reason(error)) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "FULL_ACCESS_REQUIRED",
        )
    assert (await world.state(owner.clinic_id, clinic=True)).version == 1
    denied = ("update_messaging_settings", "denied", "FULL_ACCESS_REQUIRED")
    assert world.audited(owner.clinic_id)[-1] == denied


async def test_a_patient_may_not_read_or_change_the_settings(world, owner):
    profile = await owner.create_profile()
    patient = await world.sign_in(owner.clinic_id, profile_id=profile.profile_id)

    for call in (patient.update_settings(messaging_policy=ALLOWED),):
        error = await failure(call)

        assert (error.code(), reason(error)) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "ROLE_NOT_ALLOWED",
        )
    assert world.audited(owner.clinic_id)[-1][1:] == ("denied", "ROLE_NOT_ALLOWED")


async def test_access_is_looked_up_at_the_call_and_not_trusted_from_the_token(world, owner):
    person = await world.staff(owner.clinic_id, FULL)
    await person.update_settings(messaging_policy=ALLOWED)

    await owner.call(
        "UpdateStaffMember",
        staff_id=person.id,
        staff_member={"access_level": STANDARD},
        update_mask={"paths": ["access_level"]},
    )

    error = await failure(person.update_settings(messaging_policy=OFF))
    assert reason(error) == "FULL_ACCESS_REQUIRED"


async def test_only_what_the_mask_names_is_changed(world, owner):
    await owner.update_settings(sender_name="Harbour", mail_hold=timedelta(0))

    settings = (await owner.call("GetMessagingSettings")).messaging_settings

    assert (settings.sender_name, settings.messaging_policy) == ("Harbour", OFF)
    assert settings.mail_hold.ToTimedelta() == timedelta(0)


async def test_away_after_is_set_and_taken_away(world, owner):
    settings = (await owner.update_settings(away_after=timedelta(hours=1))).messaging_settings
    assert settings.away_after.ToTimedelta() == timedelta(hours=1)

    answer = await owner.call(
        "UpdateMessagingSettings",
        messaging_settings={"sender_name": "ignored"},
        update_mask={"paths": ["away_after"]},
    )

    assert not answer.messaging_settings.HasField("away_after")
    assert answer.messaging_settings.sender_name == ""


async def test_a_stale_etag_changes_nothing(world, owner):
    stale = (await owner.call("GetMessagingSettings")).messaging_settings.etag
    current = (await owner.update_settings(sender_name="One")).messaging_settings.etag

    error = await failure(change_sender_name(owner, "Two", etag=stale))

    assert (error.code(), reason(error)) == (grpc.StatusCode.ABORTED, "ETAG_STALE")
    answer = await change_sender_name(owner, "Two", etag=current)
    assert answer.messaging_settings.sender_name == "Two"


def change_sender_name(person, name, **more):
    return person.call(
        "UpdateMessagingSettings",
        messaging_settings={"sender_name": name},
        update_mask={"paths": ["sender_name"]},
        **more,
    )


async def test_a_repeat_changes_nothing_and_confirms_again(world, owner):
    request_id = str(uuid4())
    world.conversations.confirms = False
    first = await change_sender_name(owner, "One", request_id=request_id)
    await change_sender_name(owner, "Two")
    world.conversations.confirms = True

    repeat = await change_sender_name(owner, "One", request_id=request_id)

    assert (first.applied, repeat.applied) == (False, True)
    assert repeat.messaging_settings.sender_name == "Two"
    assert world.conversations.told[-1].subject.version == 3


async def test_settings_out_of_bounds_are_refused_with_the_fields_name(world, owner):
    for settings in (
        {"mail_hold": timedelta(seconds=121)},
        {"mail_hold": timedelta(seconds=-1)},
        {"away_after": timedelta(seconds=59)},
        {"away_after": timedelta(days=31)},
        {"sender_name": "Harbour\r\nBcc: all@harbour.test"},
        {"portal_link_base": "http://portal.test"},
        {"messaging_policy": 0},
        {"messaging_policy": 77},
    ):
        error = await failure(owner.update_settings(**settings))

        assert (error.code(), reason(error)) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_INVALID",
        )
    assert (await world.state(owner.clinic_id, clinic=True)).version == 1


async def test_the_name_is_changed_by_machines_alone(world, owner):
    answer = await world.machine(
        "UpdateClinic",
        clinic_id=owner.clinic_id,
        clinic={"name": "Clínica d'Água"},
        update_mask={"paths": ["name"]},
    )

    assert answer.clinic.name == "Clínica d'Água"
    assert (await owner.call("GetClinic")).clinic == answer.clinic
    state = await world.state(owner.clinic_id, clinic=True)
    assert (state.version, state.details_version) == (2, 2)


async def test_a_machine_names_an_existing_clinic(world):
    error = await failure(
        world.machine("BatchGetDetails", name="service:conversations", clinic_id=None)
    )
    assert reason(error) == "CLINIC_REQUIRED"

    error = await failure(
        world.machine("BatchGetDetails", name="service:conversations", clinic_id=str(uuid4()))
    )
    assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "CLINIC_NOT_FOUND")
