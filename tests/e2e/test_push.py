"""A phone, from its registration to the merge of its profile, on the whole suite (R17, R21, I8,
I17)."""

from uuid import uuid4

import pytest

from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.directory.v1 import directory_service_pb2 as directory_pb
from clinic.notifications.v1 import device_pb2
from clinic.notifications.v1 import notifications_service_pb2 as notifications_pb
from services.chassis.ids import uuid7
from services.cli.__main__ import build_parser
from services.cli.failures import Refused
from services.cli.session import Session
from tests.support.eventually import eventually
from tests.support.leaks import places_of_names
from tests.support.stack import pushes_of
from tests.support.suite import open_clinic, suite_of


@pytest.fixture
async def suite(stack):
    async with suite_of(stack) as suite:
        yield suite


@pytest.fixture
async def clinic(suite):
    return await open_clinic(
        suite, name="Ringing Clinic", owner="Owner", owner_email="ringing@example.test"
    )


async def registered(suite, member, token, platform):
    request = notifications_pb.RegisterDeviceRequest(
        platform=platform, push_token=token, request_id=str(uuid7())
    )
    await member.call(suite.notifications.RegisterDevice, request)


async def devices_of(suite, member):
    listed = await member.call(
        suite.notifications.ListDevices, notifications_pb.ListDevicesRequest()
    )
    return list(listed.devices)


async def say(suite, member, thread, body):
    request = pb.SendMessageRequest(conversation_id=thread, body=body, request_id=str(uuid7()))
    return (await member.call(suite.conversations.SendMessage, request)).message


async def came(stack, token, count):
    """The pushes to a token, oldest first, once there are so many."""

    async def enough():
        found = await pushes_of(stack).pushes(to=token)
        return found[::-1] if len(found) >= count else None

    return await eventually(enough)


async def test_a_phone_rings_for_a_message_and_is_cleared_when_it_was_read(stack, suite, clinic):
    anna = await clinic.hire("Doctor Annaqvpush")
    mia = await clinic.register("Patient Miaqvpush", email="miapush@example.test")
    android, apple = f"qvtoken:{uuid4().hex}", uuid4().hex * 2
    await registered(suite, mia, android, device_pb2.PLATFORM_FCM)
    await registered(suite, mia, apple, device_pb2.PLATFORM_APNS)
    thread = await clinic.start(anna, mia)

    message = await say(suite, anna, thread, "ringingqvtext")

    [google] = await came(stack, android, 1)
    [push] = await came(stack, apple, 1)
    assert google["payload"]["data"]["conversation_id"] == thread
    assert google["payload"]["data"]["badge"] == "1"
    assert push["payload"]["aps"]["badge"] == 1
    summary = await mia.call(suite.conversations.GetUnreadSummary, pb.GetUnreadSummaryRequest())
    assert summary.unread_messages == 1

    request = pb.MarkConversationReadRequest(
        conversation_id=thread, up_to_sequence=message.sequence
    )
    await mia.call(suite.conversations.MarkConversationRead, request)

    [_, cleared] = await came(stack, android, 2)
    assert cleared["payload"]["data"] == {
        "kind": "clear",
        "profile_id": mia.id,
        "conversation_id": thread,
        "badge": "0",
    }
    assert "notification" not in cleared["payload"]
    assert (await came(stack, apple, 2))[1]["headers"]["apns-push-type"] == "background"
    assert await places_of_names(stack, ["annaqvpush", "miaqvpush", "ringingqvtext"]) == []


async def test_a_push_token_stays_a_secret(stack, suite, clinic):
    anna = await clinic.hire("Doctor Anna")
    leo = await clinic.register("Patient Leo", email="leopush@example.test")
    token = f"secretqvtoken{uuid4().hex}"
    await registered(suite, leo, token, device_pb2.PLATFORM_FCM)
    await say(suite, anna, await clinic.start(anna, leo), "Hello")
    await came(stack, token, 1)

    found = await places_of_names(stack, ["secretqvtoken"])

    # The push services hold it, as they have to; nobody else does.
    assert {place.partition(":")[0].rpartition("/")[2] for place in found} == {"pushes.jsonl"}


async def test_a_device_is_listed_and_forgotten_from_the_command_line(stack, suite, clinic):
    ben = await clinic.register("Patient Ben", email="benpush@example.test")
    await registered(suite, ben, f"kept:{uuid4().hex}", device_pb2.PLATFORM_FCM)
    await registered(suite, ben, uuid4().hex * 2, device_pb2.PLATFORM_APNS)

    latest, kept = (await typed(stack, clinic, ben, "devices")).data
    await typed(stack, clinic, ben, "unregister", latest["device_id"])

    assert [latest["platform"], kept["platform"]] == ["PLATFORM_APNS", "PLATFORM_FCM"]
    assert (await typed(stack, clinic, ben, "devices")).data == [kept]
    with pytest.raises(Refused, match="`clinic devices` lists"):
        await typed(stack, clinic, ben, "unregister", latest["device_id"])


async def typed(stack, clinic, person, *words):
    """What the command line tells this person."""
    who = ["--profile", person.id, "--clinic", clinic.id]
    arguments = build_parser().parse_args([*words, *who])
    session = Session({"LOCAL_STATE": str(stack.plan.state.directory)})
    try:
        return await arguments.run(session, arguments)
    finally:
        await session.close()


async def test_after_a_merge_the_phone_of_the_other_profile_is_silent(stack, suite, clinic):
    anna = await clinic.hire("Doctor Anna")
    primary = await clinic.register("Patient Ida", email="ida@example.test")
    double = await clinic.register("Patient Ida Again", email="ida2@example.test")
    kept, lost = f"kept:{uuid4().hex}", f"lost:{uuid4().hex}"
    await registered(suite, primary, kept, device_pb2.PLATFORM_FCM)
    await registered(suite, double, lost, device_pb2.PLATFORM_FCM)
    merge = directory_pb.MergeProfilesRequest(
        primary_profile_id=primary.id, secondary_profile_id=double.id, request_id=str(uuid7())
    )
    made = await clinic.owner.call(suite.directory.MergeProfiles, merge)
    unmerge = directory_pb.UnmergeProfilesRequest(
        merge_id=made.merge.merge_id, request_id=str(uuid7())
    )
    await clinic.owner.call(suite.directory.UnmergeProfiles, unmerge)

    back = await clinic.sign_in(double.person)
    assert await devices_of(suite, back) == []
    await say(suite, anna, await clinic.start(anna, back), "To nobody's phone")
    await say(suite, anna, await clinic.start(anna, primary), "To the one phone")

    await came(stack, kept, 1)
    assert await pushes_of(stack).pushes(to=lost) == []
