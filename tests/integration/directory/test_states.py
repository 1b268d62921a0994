"""What replicas are filled from: GetState, StreamStates, BatchGetDetails."""

from uuid import UUID, uuid4

import grpc

from clinic.directory.v1 import clinic_pb2
from clinic.directory.v1 import directory_internal_service_pb2 as internal
from clinic.directory.v1.directory_internal_service_pb2_grpc import DirectoryInternalServiceStub
from tests.support.grpc_world import failure, reason


async def stream(world, after=("", "")):
    """Every state from a place on, as (clinic, id, state)."""
    call = DirectoryInternalServiceStub(world.channel).StreamStates(
        internal.StreamStatesRequest(after_clinic_id=after[0], after_id=after[1]),
        metadata=world.as_machine("service:conversations"),
    )
    states = [response.state async for response in call]
    return [named(getattr(state, state.WhichOneof("state"))) for state in states]


def named(state):
    own = ("staff_id", "profile_id", "clinic_id")
    names = ("session_id",) if hasattr(state, "session_id") else own
    id = next(getattr(state, name) for name in names if getattr(state, name, ""))
    return state.clinic_id, id, state


async def test_the_stream_holds_every_state_once_in_the_order_of_clinic_and_id(world, owner):
    other = await world.clinic()
    profile = await owner.create_profile()

    states = await stream(world)

    keys = [(UUID(clinic_id), UUID(id)) for clinic_id, id, _ in states]
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys))
    mine = {id for clinic_id, id, _ in states if clinic_id == owner.clinic_id}
    assert mine == {owner.clinic_id, owner.id, owner.session_id, profile.profile_id}
    assert any(clinic_id == other.clinic_id for clinic_id, _, _ in states)


async def test_the_stream_is_resumed_behind_any_of_its_states(world, owner):
    await owner.create_profile()
    whole = await stream(world)

    for place in range(max(0, len(whole) - 5), len(whole)):
        assert await stream(world, after=whole[place][:2]) == whole[place + 1 :]


async def test_a_streamed_state_is_the_one_that_get_state_tells(world, owner):
    await owner.update_settings(messaging_policy=clinic_pb2.MESSAGING_POLICY_ALLOWED)

    [streamed] = [state for _, id, state in await stream(world) if id == owner.clinic_id]

    assert streamed == await world.state(owner.clinic_id, clinic=True)
    assert streamed == world.events_of(owner.clinic_id)[-1]


async def test_the_stream_is_for_services_alone(world):
    call = DirectoryInternalServiceStub(world.channel).StreamStates(
        internal.StreamStatesRequest(), metadata=world.as_machine("ops:support")
    )

    error = await failure(call.read())

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "ROLE_NOT_ALLOWED",
    )


async def test_a_state_that_is_not_there_is_not_found_by_its_name(world, owner):
    for kind, missing in (
        ("staff_id", "STAFF_MEMBER"),
        ("profile_id", "PROFILE"),
        ("session_id", "SESSION"),
    ):
        error = await failure(world.state(owner.clinic_id, **{kind: str(uuid4())}))

        assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, f"{missing}_NOT_FOUND")
    error = await failure(world.state(str(uuid4()), clinic=True))
    assert reason(error) == "CLINIC_NOT_FOUND"


async def test_a_subject_has_to_be_named(world, owner):
    for subject in ({}, {"clinic": False}, {"staff_id": "x"}):
        error = await failure(world.state(owner.clinic_id, **subject))

        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def details(world, clinic_id, **ids):
    return await world.machine(
        "BatchGetDetails", name="service:notifications", clinic_id=clinic_id, **ids
    )


async def test_details_hold_names_and_addresses_and_leave_out_strangers(world, owner):
    stranger = await (await world.clinic()).create_profile("Stranger")
    pat = await owner.create_profile("Pat Doe", email="pat@example.org")

    found = await details(
        world,
        owner.clinic_id,
        staff_ids=[owner.id, owner.id, str(uuid4())],
        profile_ids=[pat.profile_id, stranger.profile_id],
    )

    assert found.clinic_details.sender_name == "Harbour Clinic"
    assert [(each.display_name, each.email) for each in found.staff_details] == [
        ("Olga Owner", "olga@harbour.test")
    ]
    assert [(each.display_name, each.email) for each in found.profile_details] == [
        ("Pat Doe", "pat@example.org")
    ]


async def test_mails_are_sent_in_the_name_that_the_clinic_set(world, owner):
    await owner.update_settings(sender_name="Harbour", portal_link_base="https://portal.test/app/")

    found = (await details(world, owner.clinic_id)).clinic_details

    assert (found.name, found.sender_name) == ("Harbour Clinic", "Harbour")
    assert found.portal_link_base == "https://portal.test/app"
    assert found.details_version == 2


async def test_two_hundred_ids_at_most(world, owner):
    error = await failure(
        details(world, owner.clinic_id, staff_ids=[str(uuid4()) for _ in range(201)])
    )

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
