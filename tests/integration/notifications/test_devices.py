"""Devices: whose they are, and when they are dropped (R17, I8, I10)."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import grpc
import pytest

from clinic.notifications.v1 import device_pb2
from clinic.notifications.v1 import notifications_service_pb2 as pb
from services.directory_replica.states import EndCause, ProfileState
from services.messaging_rule import Side
from services.notifications.channels.push import PushChannel
from services.notifications.channels.push_tokens import PushTokens
from services.notifications.domain.delivery import Recipient, Whom
from services.notifications.storage.devices import Devices, devices_of
from tests.support.conversations_world import SEALING_KEY, a_session
from tests.support.grpc_world import bearer, reason

FCM, APNS = device_pb2.PLATFORM_FCM, device_pb2.PLATFORM_APNS


@contextmanager
def refused(code, why):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        yield
    assert (raised.value.code().name, reason(raised.value)) == (code, why)


class Phone:
    """A signed-in profile's app."""

    def __init__(self, world, profile_id, session):
        self.world = world
        self.profile_id = profile_id
        self.session_id = session.session_id
        claims = {"clinic_id": str(session.clinic_id), "sid": str(session.session_id)}
        self.metadata = bearer(world.keys.person(acting=f"profile:{profile_id}", **claims))

    async def register(self, token, *, platform=FCM, request_id=None):
        request = pb.RegisterDeviceRequest(
            platform=platform, push_token=token, request_id=request_id or str(uuid4())
        )
        response = await self.world.public.RegisterDevice(request, metadata=self.metadata)
        return response.device

    async def unregister(self, device_id, *, request_id=None):
        request = pb.UnregisterDeviceRequest(
            device_id=device_id, request_id=request_id or str(uuid4())
        )
        await self.world.public.UnregisterDevice(request, metadata=self.metadata)

    async def listed(self):
        response = await self.world.public.ListDevices(
            pb.ListDevicesRequest(), metadata=self.metadata
        )
        return [device.device_id for device in response.devices]


@pytest.fixture
async def phone(world):
    await world.clinic()
    return await a_phone(world)


async def a_phone(world, profile_id=None):
    profile_id = profile_id or await world.profile()
    session = a_session(world.clinic_id, Side.PROFILE, profile_id)
    await world.tell(session)
    return Phone(world, profile_id, session)


def a_token():
    return f"fcm:{uuid4().hex}"


async def devices(world, profile_id):
    """Where a push to this profile would go."""
    whom = Whom(world.clinic_id, Recipient(Side.PROFILE, profile_id))

    async def work(connection, now):
        return (await devices_of(connection, [whom]))[whom]

    return await world.app.transact(work, clinics=[world.clinic_id])


def stored(world, query, **parameters):
    return world._execute(query, **parameters)


async def test_a_registered_device_gets_the_pushes_of_its_profile(world, phone):
    device = await phone.register("Some:Token", platform=FCM)

    [address] = await devices(world, phone.profile_id)
    assert str(address.id) == device.device_id
    assert PushTokens(SEALING_KEY).open(address) == "Some:Token"
    assert device.platform == FCM
    assert await phone.listed() == [device.device_id]


async def test_a_repeat_is_the_same_device_and_so_is_a_further_start_of_the_app(world, phone):
    token, request_id = a_token(), str(uuid4())
    first = await phone.register(token, request_id=request_id)

    repeat = await phone.register(token, request_id=request_id)
    again = await phone.register(token)

    assert {first.device_id, repeat.device_id, again.device_id} == {first.device_id}
    assert again.register_time.ToDatetime() > first.register_time.ToDatetime()
    assert len(await devices(world, phone.profile_id)) == 1


async def test_a_request_id_is_not_used_for_another_token(phone):
    request_id = str(uuid4())
    await phone.register(a_token(), request_id=request_id)

    with refused("ALREADY_EXISTS", "IDEMPOTENCY_MISMATCH"):
        await phone.register(a_token(), request_id=request_id)


async def test_spellings_of_an_apple_token_are_one_token(world, phone):
    lower = await phone.register("ab" * 32, platform=APNS)
    upper = await phone.register("AB" * 32, platform=APNS)

    assert lower.device_id == upper.device_id


@pytest.mark.parametrize(
    ("platform", "token"),
    [
        (APNS, "not/hex"),
        (APNS, "abc"),
        (APNS, "ab" * 101),
        (FCM, "two words"),
        (FCM, "tökén"),
        (FCM, "t" * 4097),
        (9, "token"),
    ],
    ids=["path", "half a byte", "long", "space", "beyond ASCII", "longer", "platform"],
)
async def test_what_is_no_push_token_is_refused(phone, platform, token):
    with refused("INVALID_ARGUMENT", "FIELD_INVALID"):
        await phone.register(token, platform=platform)


async def test_a_platform_that_is_off_takes_no_devices(world, phone, monkeypatch):
    monkeypatch.setattr(PushChannel, "platforms", frozenset())

    with refused("FAILED_PRECONDITION", "PUSH_PLATFORM_OFF"):
        await phone.register(a_token())

    assert await devices(world, phone.profile_id) == []


async def test_a_token_goes_to_who_registers_it_last(world, phone):
    other, token = await a_phone(world), a_token()
    before = await phone.register(token)

    after = await other.register(token)

    assert after.device_id != before.device_id
    assert await devices(world, phone.profile_id) == []
    assert len(await devices(world, other.profile_id)) == 1
    assert stored(world, "select 1 from devices where id = %(id)s", id=before.device_id) == []


async def test_a_token_leaves_another_clinic_too_and_its_rest_is_swept_up(world, phone):
    token, here = a_token(), world.clinic_id
    await phone.register(token)
    world.clinic_id = uuid4()
    await world.clinic()
    elsewhere = await a_phone(world)

    await elsewhere.register(token)

    assert len(await devices(world, elsewhere.profile_id)) == 1
    world.clinic_id = here
    assert await devices(world, phone.profile_id) == []
    assert await phone.listed() == []
    await world.sweep_devices()
    assert stored(world, "select 1 from devices where clinic_id = %(clinic)s") == []


async def test_of_too_many_devices_the_one_longest_unheard_of_gives_way(world, phone):
    made = [await phone.register(a_token()) for _ in range(11)]

    ids = {str(device.id) for device in await devices(world, phone.profile_id)}
    assert ids == {device.device_id for device in made[1:]}
    assert (
        stored(world, "select 1 from push_tokens where device_id = %(id)s", id=made[0].device_id)
        == []
    )


async def test_an_unregistered_device_is_forgotten_and_a_repeat_changes_nothing(world, phone):
    token, request_id = a_token(), str(uuid4())
    device = await phone.register(token)

    await phone.unregister(device.device_id, request_id=request_id)
    await phone.unregister(device.device_id, request_id=request_id)

    assert await devices(world, phone.profile_id) == []
    with refused("NOT_FOUND", "DEVICE_NOT_FOUND"):
        await phone.unregister(device.device_id)
    assert (await phone.register(token)).device_id != device.device_id


async def test_somebody_elses_device_is_not_there(world, phone):
    other = await a_phone(world)
    device = await other.register(a_token())

    with refused("NOT_FOUND", "DEVICE_NOT_FOUND"):
        await phone.unregister(device.device_id)

    assert len(await devices(world, other.profile_id)) == 1


@pytest.mark.parametrize("cause", [EndCause.LOGOUT, EndCause.REVOKED, EndCause.MERGED])
async def test_a_sign_out_drops_the_devices_of_its_session_and_no_others(world, phone, cause):
    second = await a_phone(world, phone.profile_id)
    await phone.register(a_token())
    kept = await second.register(a_token())

    await world.end(phone.session_id, at=datetime.now(UTC), cause=cause)

    assert [str(each.id) for each in await devices(world, phone.profile_id)] == [kept.device_id]
    assert await second.listed() == [kept.device_id]


async def test_a_session_that_ran_out_is_no_sign_out(world, phone):
    await phone.register(a_token())

    await world.end(phone.session_id, at=datetime.now(UTC), cause=EndCause.EXPIRED)

    assert len(await devices(world, phone.profile_id)) == 1


async def test_a_merge_drops_the_devices_and_an_unmerge_does_not_bring_them_back(world, phone):
    await phone.register(a_token())
    await world.end(phone.session_id, at=datetime.now(UTC), cause=EndCause.EXPIRED)

    await world.update(ProfileState, phone.profile_id, merged_into=uuid4(), merge_id=uuid4())
    assert await devices(world, phone.profile_id) == []
    await world.update(ProfileState, phone.profile_id, merged_into=None, merge_id=None)

    assert await devices(world, phone.profile_id) == []
    again = await a_phone(world, phone.profile_id)
    await again.register(a_token())
    assert len(await devices(world, phone.profile_id)) == 1


async def test_a_session_that_ends_while_its_device_registers_leaves_none(world, phone):
    async def work(connection, now):
        found = Devices(connection, world.clinic_id)
        return await found.hold_session(phone.profile_id, phone.session_id)

    assert await world.app.transact(work, clinics=[world.clinic_id])
    await world.end(phone.session_id, at=datetime.now(UTC), cause=EndCause.LOGOUT)

    assert not await world.app.transact(work, clinics=[world.clinic_id])


async def test_a_device_that_registered_again_outlives_what_its_provider_said_before(world, phone):
    token = a_token()
    await phone.register(token)
    seen = await devices(world, phone.profile_id)
    await phone.register(token)

    async def work(connection, now):
        await Devices(connection, world.clinic_id).drop(seen)

    await world.app.transact(work, clinics=[world.clinic_id])
    assert len(await devices(world, phone.profile_id)) == 1
    seen = await devices(world, phone.profile_id)
    await world.app.transact(work, clinics=[world.clinic_id])
    assert await devices(world, phone.profile_id) == []


async def test_whoever_has_not_registered_for_long_is_swept_up(world, phone):
    device = await phone.register(a_token())
    kept = await phone.register(a_token())
    stored(
        world,
        "update devices set registered_at = registered_at - %(age)s where id = %(id)s",
        age=timedelta(days=61),
        id=UUID(device.device_id),
    )

    await world.sweep_devices()

    assert [str(each.id) for each in await devices(world, phone.profile_id)] == [kept.device_id]
    assert (
        stored(
            world, "select 1 from push_tokens where device_id = %(id)s", id=UUID(device.device_id)
        )
        == []
    )


async def test_a_push_token_is_nowhere_in_the_clear(world, phone):
    token = a_token()
    await phone.register(token)

    for table in ("devices", "push_tokens", "requests", "outbox", "audit"):
        for row in stored(world, f"select t::text as row from {table} as t"):
            assert token not in row["row"]
            assert token.encode().hex() not in row["row"]


async def test_another_clinic_sees_no_devices(world, phone):
    await phone.register(a_token())
    whom = Whom(world.clinic_id, Recipient(Side.PROFILE, phone.profile_id))

    async def work(connection, now):
        return await devices_of(connection, [whom])

    assert (await world.app.transact(work, clinics=[uuid4()]))[whom] == []
