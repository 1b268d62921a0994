"""What callers ask of notifications: the ledger, states applied at once, devices, unsubscribe."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import grpc
import pytest

from clinic.directory.v1 import directory_events_pb2 as states
from clinic.directory.v1 import profile_pb2
from clinic.notifications.v1 import delivery_pb2
from clinic.notifications.v1 import notifications_internal_service_pb2 as internal_pb
from clinic.notifications.v1 import notifications_service_pb2 as pb
from services.chassis.http import Request
from services.messaging_rule import Side
from services.notifications.api.unsubscribe import PATH, UnsubscribeDoor
from services.notifications.domain.delivery import Recipient
from services.notifications.domain.mail import Contents
from tests.support.grpc_world import failure, reason
from tests.support.notifications_world import LONG

LATEST = datetime(2026, 3, 2, 11, 59, 3, 123456, tzinfo=UTC)


@pytest.fixture
async def listed(world):
    """A thread, and a function that lists deliveries as support."""
    await world.clinic(hold=LONG)
    thread = await world.thread()

    async def list_deliveries(**request):
        return await world.internal.ListDeliveries(
            internal_pb.ListDeliveriesRequest(**request), metadata=world.machine()
        )

    return thread, list_deliveries


async def test_support_sees_what_became_of_a_message(world, listed):
    thread, list_deliveries = listed
    sent = await thread.send()

    by_push, delivery = sorted(
        (await list_deliveries(conversation_id=str(thread.id))).deliveries,
        key=lambda found: found.channel,
        reverse=True,
    )

    assert delivery.message_id == str(sent.id)
    assert delivery.recipient_side == delivery_pb2.RECIPIENT_SIDE_PROFILE
    assert delivery.recipient_id == str(thread.profile_id)
    assert delivery.channel == delivery_pb2.CHANNEL_EMAIL
    assert delivery.state == delivery_pb2.DELIVERY_STATE_HELD
    assert delivery.reason == delivery_pb2.DELIVERY_REASON_UNSPECIFIED
    assert delivery.HasField("due_time")
    assert not delivery.HasField("send_time")
    assert delivery.dispatch_id
    assert by_push.channel == delivery_pb2.CHANNEL_PUSH
    assert by_push.state == delivery_pb2.DELIVERY_STATE_SKIPPED
    assert by_push.reason == delivery_pb2.DELIVERY_REASON_NO_DEVICE


async def test_deliveries_are_listed_page_by_page_the_latest_first(world, listed):
    thread, list_deliveries = listed
    sent = [await thread.send(Side.PROFILE) for _ in range(5)]

    request = {"conversation_id": str(thread.id), "page_size": 2}
    pages = [await list_deliveries(**request)]
    while pages[-1].next_page_token:
        pages.append(await list_deliveries(**request, page_token=pages[-1].next_page_token))

    found = [delivery.message_id for page in pages for delivery in page.deliveries]
    assert found == [str(each.id) for each in reversed(sent)]
    assert [len(page.deliveries) for page in pages] == [2, 2, 1]


async def test_deliveries_are_found_by_message_and_by_recipient(world, listed):
    thread, list_deliveries = listed
    to_patient, to_staff = await thread.send(Side.STAFF), await thread.send(Side.PROFILE)

    by_sequence = await list_deliveries(conversation_id=str(thread.id), sequence=1)
    by_recipient = await list_deliveries(recipient_id=str(thread.staff_id))
    by_neither = await list_deliveries(recipient_id=str(uuid4()))

    assert {each.message_id for each in by_sequence.deliveries} == {str(to_patient.id)}
    assert [each.message_id for each in by_recipient.deliveries] == [str(to_staff.id)]
    assert list(by_neither.deliveries) == []


@pytest.mark.parametrize(
    ("request_fields", "expected"),
    [
        ({}, "FIELD_REQUIRED"),
        ({"conversation_id": "x"}, "FIELD_INVALID"),
        ({"recipient_id": str(uuid4()), "sequence": -1}, "FIELD_INVALID"),
        ({"recipient_id": str(uuid4()), "page_size": -1}, "FIELD_INVALID"),
        ({"recipient_id": str(uuid4()), "page_token": "AAAA"}, "PAGE_TOKEN_INVALID"),
    ],
)
async def test_a_malformed_list_is_refused(listed, request_fields, expected):
    _, list_deliveries = listed

    error = await failure(list_deliveries(**request_fields))

    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error) == expected


async def test_one_delivery_is_read_by_its_clinic_only(world, listed):
    thread, _ = listed
    sent = await thread.send()
    (row,) = world.rows(sent)
    request = internal_pb.GetDeliveryRequest(delivery_id=str(row["id"]))

    found = await world.internal.GetDelivery(request, metadata=world.machine())
    assert found.delivery.message_id == str(sent.id)

    world.clinic_id = uuid4()
    for absent in (request, internal_pb.GetDeliveryRequest(delivery_id=str(uuid4()))):
        error = await failure(world.internal.GetDelivery(absent, metadata=world.machine()))
        assert (error.code(), reason(error)) == (
            grpc.StatusCode.NOT_FOUND,
            "DELIVERY_NOT_FOUND",
        )


async def test_states_are_applied_before_the_call_returns(world, listed):
    thread, _ = listed
    state = a_profile_state(world, thread.profile_id, do_not_email=True)

    response = await world.internal.ApplyStates(
        internal_pb.ApplyStatesRequest(states=[state]), metadata=world.machine("service:directory")
    )

    assert response.applied
    assert world.outcome(await thread.send()) == "SKIPPED(DO_NOT_EMAIL)"


async def test_states_of_another_clinic_are_refused_and_none_is_applied(world, listed):
    thread, _ = listed
    own = a_profile_state(world, thread.profile_id, do_not_email=True)
    foreign = a_profile_state(world, uuid4(), clinic_id=str(uuid4()))

    error = await failure(
        world.internal.ApplyStates(
            internal_pb.ApplyStatesRequest(states=[own, foreign]),
            metadata=world.machine("service:directory"),
        )
    )

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "FIELD_INVALID",
    )
    assert world.outcome(await thread.send()) == "HELD"


async def test_only_the_directory_applies_states_and_only_machines_read_the_ledger(world, listed):
    applying = world.internal.ApplyStates(
        internal_pb.ApplyStatesRequest(states=[a_profile_state(world, uuid4())]),
        metadata=world.machine("service:export"),
    )
    reading = world.internal.ListDeliveries(
        internal_pb.ListDeliveriesRequest(recipient_id=str(uuid4())),
        metadata=await world.patient_session(await world.profile()),
    )

    for call in (applying, reading):
        assert (await failure(call)).code() == grpc.StatusCode.PERMISSION_DENIED


async def test_a_patient_lists_own_devices_only(world):
    profile = await world.profile()
    own, older = uuid4(), uuid4()
    world.has_device(own, profile, age=timedelta(0))
    world.has_device(older, profile, age=timedelta(days=1))
    world.has_device(uuid4(), await world.profile(), age=timedelta(0))

    metadata = await world.patient_session(profile)
    response = await world.public.ListDevices(pb.ListDevicesRequest(page_size=1), metadata=metadata)
    rest = await world.public.ListDevices(
        pb.ListDevicesRequest(page_token=response.next_page_token), metadata=metadata
    )

    assert [device.device_id for device in response.devices] == [str(own)]
    assert [device.device_id for device in rest.devices] == [str(older)]
    assert rest.next_page_token == ""


async def test_devices_are_refused_to_an_ended_session(world):
    ended = await world.patient_session(await world.profile(), ended_at=datetime.now(UTC))

    error = await failure(world.public.ListDevices(pb.ListDevicesRequest(), metadata=ended))

    assert reason(error) == "SESSION_ENDED"


@pytest.fixture
async def door(world):
    """How mail readers reach us, and the token of a mail to a staff member."""
    staff = await world.staff()
    contents = Contents(
        dispatch_id=uuid4(),
        clinic_id=world.clinic_id,
        recipient=Recipient(Side.STAFF, staff),
        count=1,
        conversation_id=None,
        latest_at=LATEST,
    )
    world.details.cleared.clear()
    routes = UnsubscribeDoor(world.tokens, world.works.directory).routes()

    async def call(method, token):
        return await routes[method, PATH](Request(method, PATH, f"token={token}"))

    return call, contents, world.tokens.seal(contents)


async def test_one_click_unticks_the_preference(world, door):
    call, contents, token = door

    response = await call("POST", token)

    assert response.status == 200
    (cleared,) = world.details.cleared
    assert cleared.staff_id == str(contents.recipient.id)
    assert cleared.request_id == str(contents.dispatch_id)
    assert cleared.mail_time.ToDatetime(UTC) == LATEST


async def test_a_click_that_came_too_late_says_that_mail_was_asked_for_again(
    world, door, monkeypatch
):
    call, _, token = door
    monkeypatch.setattr(world.details, "ticked_since", True)

    response = await call("POST", token)

    assert response.status == 200
    assert b"asked for these e-mails again" in response.body


async def test_following_the_link_changes_nothing(world, door):
    call, _, token = door

    response = await call("GET", token)

    assert response.status == 200
    assert b'method="post"' in response.body
    assert world.details.cleared == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("token", ["", "nonsense", "%22%3E%3Cscript%3E"])
async def test_a_token_of_nobody_is_refused_and_not_repeated(world, door, method, token):
    call, _, _ = door

    response = await call(method, token)

    assert response.status == 400
    assert b"script" not in response.body
    assert world.details.cleared == []


async def test_unsubscribing_asks_to_try_again_while_the_directory_is_gone(world, door):
    call, _, token = door
    world.details.reachable = False

    response = await call("POST", token)

    world.details.reachable = True
    assert response.status == 503


async def test_the_link_of_a_staff_mail_is_a_token_of_that_mail(world):
    thread = await world.thread()
    sent = await thread.send(Side.PROFILE)
    await world.dispatch_due()

    (mail,) = world.mails(thread.staff_id)
    url = urlsplit(str(mail.message["List-Unsubscribe"]).strip("<>"))
    of = world.tokens.open(url.query.removeprefix("token="))

    assert (of.clinic_id, of.staff_id) == (world.clinic_id, thread.staff_id)
    assert of.latest_at == sent.at


def a_profile_state(world, profile_id, **changes):
    given: dict[str, Any] = {
        "clinic_id": str(world.clinic_id),
        "profile_id": str(profile_id),
        "version": 100,
        "incarnation": "i1",
        "messaging_override": profile_pb2.MESSAGING_OVERRIDE_INHERIT,
    }
    return states.State(profile=states.ProfileState(**given | changes))
