"""One-time codes: mailed at once, to the address on file, and kept nowhere."""

from uuid import uuid4

import grpc
import pytest

from clinic.notifications.v1 import notifications_internal_service_pb2 as pb
from deploy.local.mailbox.faults import Fault
from tests.support.grpc_world import failure, reason

CODE = "K7F2-93QX"


@pytest.fixture
async def owner(world):
    """A staff member who wants no mail about messages."""
    return await world.staff()


async def send(world, staff_id, *, code=CODE, request_id=None):
    request = pb.SendCodeRequest(
        staff_id=str(staff_id), code=code, request_id=str(request_id or uuid4())
    )
    await world.internal.SendCode(request, metadata=world.machine("service:export"))


async def test_a_code_is_mailed_whatever_the_preference(world, owner):
    await send(world, owner)

    (mail,) = world.mails(owner)
    assert mail.message["Subject"] == "Your one-time code"
    assert mail.message["From"].addresses[0].display_name == "Harbour Clinic"
    assert "List-Unsubscribe" not in mail.message
    for kind in ("plain", "html"):
        assert CODE in mail.part(kind)
    assert world.audited() == [("service:export", "send_code")]


async def test_a_repeat_sends_nothing_and_another_code_is_another_request(world, owner):
    again = uuid4()

    for _ in range(2):
        await send(world, owner, request_id=again)

    assert len(world.mails(owner)) == 1
    error = await failure(send(world, owner, code="other", request_id=again))
    assert reason(error) == "IDEMPOTENCY_MISMATCH"


@pytest.mark.parametrize("fault", [{"code": 451}, {"hang": "after_data"}])
async def test_what_was_not_taken_is_sent_by_a_repeat_as_the_same_mail(world, owner, fault):
    again = uuid4()
    world.faults.set(Fault(world.address_of(owner), **fault))
    error = await failure(send(world, owner, request_id=again))
    assert error.code() == grpc.StatusCode.UNAVAILABLE

    world.faults.clear()
    await send(world, owner, request_id=again)

    ids = {str(mail.message["Message-ID"]) for mail in world.mails(owner)}
    assert ids == {f"<{again}@clinic.test>"}


async def test_an_address_refused_for_good_is_suppressed_and_asked_no_more(world, owner):
    world.refuse(owner, code=550)
    assert reason(await failure(send(world, owner))) == "ADDRESS_SUPPRESSED"

    world.faults.clear()

    assert reason(await failure(send(world, owner))) == "ADDRESS_SUPPRESSED"
    assert world.mails(owner) == []


async def test_nobody_without_an_address_gets_a_code(world):
    nobody = await world.staff(address="")

    error = await failure(send(world, nobody))

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.NOT_FOUND,
        "STAFF_ADDRESS_NOT_FOUND",
    )


async def test_a_directory_that_is_gone_is_asked_again(world, owner):
    world.details.reachable = False

    error = await failure(send(world, owner))

    world.details.reachable = True
    assert error.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("code", ["123", "1" * 33, "12 34", "<b>1234</b>", "1234\r\nBcc: a@b"])
async def test_what_is_no_code_is_refused(world, owner, code):
    assert reason(await failure(send(world, owner, code=code))) == "FIELD_INVALID"
    assert world.mails(owner) == []


async def test_a_code_is_neither_stored_nor_logged(world, owner, capsys):
    await send(world, owner)
    world.faults.set(Fault(world.address_of(owner), hang="after_data"))
    await failure(send(world, owner))

    logged = capsys.readouterr()
    assert CODE not in logged.out + logged.err + world.everything_stored()
