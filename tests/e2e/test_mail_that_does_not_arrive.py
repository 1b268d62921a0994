"""Mail that is refused, comes back, and is unsubscribed from, and what support sees of it (I40)."""

import asyncio
import json
from urllib.request import Request, urlopen

import aiosmtplib
import pytest

from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.conversations.v1 import delivery_cause_pb2
from clinic.directory.v1 import directory_service_pb2 as directory_pb
from services.chassis.ids import uuid7
from services.cli.__main__ import build_parser, run
from tests.support.eventually import eventually
from tests.support.stack import mailbox_of
from tests.support.suite import open_clinic, suite_of

REPORT = (
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mail.test\r\n\r\n"
    b"Final-Recipient: rfc822; gone@mail.test\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--\r\n"
)


@pytest.fixture
async def clinic(stack):
    async with suite_of(stack) as suite:
        yield await open_clinic(
            suite, name="Quay Clinic", owner="Owner", owner_email="owner@quay.test"
        )
    await mailbox_of(stack).heal()


@pytest.fixture
def support(stack, clinic, capsys, monkeypatch):
    """What `clinic ops …` tells programs, of the clinic where it is one's."""
    monkeypatch.setenv("LOCAL_STATE", str(stack.plan.state.directory))

    async def ask(*words, of_clinic=True):
        more = ("--clinic", clinic.id) if of_clinic else ()
        assert await run(build_parser().parse_args(["ops", *words, *more, "--json"])) == 0
        return json.loads(capsys.readouterr().out)

    return ask


async def write(clinic, member, thread):
    request = pb.SendMessageRequest(conversation_id=thread, body="Hello", request_id=str(uuid7()))
    await member.call(clinic.suite.conversations.SendMessage, request)


async def test_support_brings_back_a_person_whose_address_was_refused(stack, clinic, support):
    mailbox, address = mailbox_of(stack), "refused@quay.test"
    anna = await clinic.hire("Doctor Anna")
    mia = await clinic.register("Mia", email=address)
    await mailbox.answer(address, code=550)
    await write(clinic, anna, await clinic.start(anna, mia))

    async def failed():
        rows = await support("deliveries", "--recipient", mia.id)
        return [row for row in rows if row["state"] == "DELIVERY_STATE_FAILED"]

    [delivery] = await eventually(failed, within=20)
    [suppression] = await support("suppressions", "--recipient", mia.id)
    await mailbox.heal()
    await support("lift", suppression["suppression_id"])
    await support("retry", delivery["delivery_id"])

    assert delivery["provider_state"] == "PROVIDER_STATE_BAD_RECIPIENT"
    assert await eventually(lambda: mailbox.mails(to=address), within=20)
    status = await support("status", of_clinic=False)
    assert status["notifications"]["dead_letters"] == "0"


async def test_mail_that_comes_back_is_told_to_who_wrote_the_message(stack, clinic, support):
    address = "moved@quay.test"
    anna = await clinic.hire("Doctor Anna")
    mia = await clinic.register("Mia", email=address)
    thread = await clinic.start(anna, mia)
    await write(clinic, anna, thread)
    [mail] = await eventually(lambda: mailbox_of(stack).mails(to=address), within=20)

    await aiosmtplib.send(
        REPORT,
        sender="mailer-daemon@mail.test",
        recipients=[mail["sender"]],
        hostname="127.0.0.1",
        port=stack.plan.ports["notifications-bounces"],
    )

    explain = pb.ExplainDeliveryRequest(conversation_id=thread)
    answer = await anna.call(clinic.suite.conversations.ExplainDelivery, explain)
    kinds = [cause.kind for cause in answer.causes]
    assert delivery_cause_pb2.DeliveryCause.KIND_MAIL_NOT_ARRIVING in kinds
    known = [cause["kind"] for cause in await support("explain", thread)]
    assert known == [delivery_cause_pb2.DeliveryCause.Kind.Name(kind) for kind in kinds]
    [suppression] = await support("suppressions", "--recipient", mia.id)
    assert suppression["reason"] == "SUPPRESSION_REASON_BOUNCED"


async def test_one_click_unsubscribes_until_mail_is_asked_for_again(stack, clinic):
    address = "anna@quay.test"
    anna = await clinic.hire("Doctor Anna", email=address)
    mia = await clinic.register("Mia", email="mia@quay.test")
    thread = await clinic.start(anna, mia)
    await write(clinic, anna, thread)

    async def tick():
        request = directory_pb.UpdateNotificationPreferenceRequest(
            staff_id=anna.id, mail_opted_in=True, request_id=str(uuid7())
        )
        await anna.call(clinic.suite.directory.UpdateNotificationPreference, request)

    async def ticked():
        request = directory_pb.GetStaffMemberRequest(staff_id=anna.id)
        answer = await anna.call(clinic.suite.directory.GetStaffMember, request)
        return answer.staff_member.mail_opted_in

    await tick()
    signed_out = directory_pb.CloseSessionRequest()
    await anna.call(clinic.suite.directory.CloseSession, signed_out)
    await write(clinic, mia, thread)
    [mail] = await eventually(lambda: mailbox_of(stack).mails(to=address), within=20)
    link = mail["headers"]["List-Unsubscribe"].strip("<>")
    anna = await clinic.sign_in(anna.person)

    assert await ticked()
    await click(link)
    assert not await ticked()
    await tick()
    await click(link)
    assert await ticked()


async def click(link):
    """As a mail reader does it (RFC 8058)."""
    request = Request(link, data=b"List-Unsubscribe=One-Click", method="POST")

    def post() -> int:
        with urlopen(request, timeout=10) as response:
            status: int = response.status
            return status

    assert await asyncio.to_thread(post) == 200
