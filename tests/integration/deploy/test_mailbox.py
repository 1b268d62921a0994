import asyncio
from email.message import EmailMessage

import aiosmtplib
import pytest

from deploy.local import parts
from deploy.local.ports import HOST, free
from deploy.local.state import State
from deploy.local.supervisor import Supervisor
from tests.support.eventually import eventually
from tests.support.mailbox import MailboxClient


class RunningMailbox:
    def __init__(self, supervisor, ports):
        self.client = MailboxClient(f"http://{ports.address('mailbox')}")
        self._supervisor = supervisor
        self._port = ports["mailbox-smtp"]

    async def send(self, *, to, subject="New secure message", **options):
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "clinic@example.test", to, subject
        mail.set_content("You have a new secure message.")
        mail.add_alternative("<p>You have a <a href='https://p.test'>message</a>.</p>", "html")
        return await aiosmtplib.send(mail, hostname=HOST, port=self._port, **options)

    async def restart(self):
        await self._supervisor.term("mailbox")
        await self._supervisor.again("mailbox")


@pytest.fixture(scope="module")
async def running(tmp_path_factory):
    state, ports = State(tmp_path_factory.mktemp("mailbox")), free()
    state.logs.mkdir()
    supervisor = Supervisor(print)
    await supervisor.start(parts.mailbox(state=state, ports=ports, environment={}))
    yield RunningMailbox(supervisor, ports)
    await supervisor.end(["mailbox"])
    ports.release()


@pytest.fixture
async def mailbox(running):
    yield running
    await running.client.heal()
    await running.client.clear()


async def test_a_mail_is_shown_with_both_of_its_texts(mailbox):
    await mailbox.send(to="pat@example.test")

    [mail] = await mailbox.client.mails()
    assert mail["subject"] == "New secure message"
    assert mail["recipients"] == ["pat@example.test"]
    assert mail["text"].strip() == "You have a new secure message."
    assert "<a href=" in mail["html"]
    assert "Subject: New secure message" in await mailbox.client.source(mail["id"])


async def test_mails_are_listed_newest_first_and_by_recipient(mailbox):
    await mailbox.send(to="pat@example.test", subject="first")
    await mailbox.send(to="sam@example.test", subject="second")

    everybodys = await mailbox.client.mails()
    pats = await mailbox.client.mails(to="PAT@example.test")

    assert [mail["subject"] for mail in everybodys] == ["second", "first"]
    assert [mail["subject"] for mail in pats] == ["first"]


async def test_a_restart_keeps_the_mails(mailbox):
    await mailbox.send(to="pat@example.test")
    before = await mailbox.client.mails()

    await mailbox.restart()

    assert await mailbox.client.mails() == before


async def test_deleted_mails_stay_deleted(mailbox):
    await mailbox.send(to="pat@example.test")

    await mailbox.client.clear()
    await mailbox.restart()

    assert await mailbox.client.mails() == []


@pytest.mark.parametrize("code", [451, 550])
async def test_a_recipient_is_refused_as_programmed_and_others_are_not(mailbox, code):
    await mailbox.client.answer("pat@example.test", code=code)

    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refusal:
        await mailbox.send(to="pat@example.test")
    await mailbox.send(to="sam@example.test")

    assert refusal.value.recipients[0].code == code
    assert [mail["recipients"] for mail in await mailbox.client.mails()] == [["sam@example.test"]]


async def test_a_silence_before_data_leaves_no_mail(mailbox):
    await mailbox.client.hang("pat@example.test", when="before_data")

    with pytest.raises(aiosmtplib.SMTPException):
        await mailbox.send(to="pat@example.test", timeout=0.3)

    assert await mailbox.client.mails() == []


async def test_a_silence_after_data_leaves_a_mail_that_was_never_confirmed(mailbox):
    await mailbox.client.hang("pat@example.test", when="after_data")

    with pytest.raises(aiosmtplib.SMTPException):
        await mailbox.send(to="pat@example.test", timeout=0.3)

    [mail] = await mailbox.client.mails()
    assert mail["answered"] is False


@pytest.mark.parametrize("at", ["mail", "rcpt", "data", "end"])
@pytest.mark.parametrize("code", [451, 554])
async def test_a_refusal_at_any_step_leaves_no_mail(mailbox, at, code):
    await mailbox.client.fail("", code=code, at=at)

    with pytest.raises(aiosmtplib.SMTPException) as refusal:
        await mailbox.send(to="pat@example.test")

    assert str(code) in str(refusal.value.args)
    assert await mailbox.client.mails() == []


@pytest.mark.parametrize(("at", "kept"), [("mail", 0), ("rcpt", 0), ("data", 0), ("end", 1)])
async def test_a_cut_after_the_mail_leaves_it_unconfirmed_and_before_leaves_none(mailbox, at, kept):
    await mailbox.client.fail("", reset=True, at=at)

    with pytest.raises(aiosmtplib.SMTPException):
        await mailbox.send(to="pat@example.test")

    assert [mail["answered"] for mail in await mailbox.client.mails()] == [False] * kept


@pytest.mark.parametrize("at", ["mail", "rcpt", "data", "end"])
async def test_who_is_slow_answers_in_the_end(mailbox, at):
    await mailbox.client.fail("", slow=0.05, at=at)

    errors, _ = await mailbox.send(to="pat@example.test")

    assert errors == {}
    assert [mail["answered"] for mail in await mailbox.client.mails()] == [True]


async def test_who_hangs_goes_on_when_the_faults_are_cleared(mailbox):
    await mailbox.client.hang("pat@example.test", when="after_data")
    sending = asyncio.create_task(mailbox.send(to="pat@example.test"))
    await eventually(mailbox.client.mails)

    await mailbox.client.heal()

    errors, _ = await sending
    assert errors == {}


async def test_the_page_shows_a_mail_only_in_a_frame_without_scripts(mailbox):
    await mailbox.send(to="pat@example.test")
    [mail] = await mailbox.client.mails()

    assert "sandbox=" in await mailbox.client.page("/")
    assert "<a href=" in await mailbox.client.page(f"/messages/{mail['id']}/html")


async def test_a_page_of_another_site_cannot_read_the_mails(mailbox):
    port = mailbox.client._url.rpartition(":")[2]
    reader, writer = await asyncio.open_connection(HOST, int(port))

    writer.write(b"GET /messages HTTP/1.1\r\nHost: evil.example\r\n\r\n")

    assert b" 403 " in await reader.readline()
    writer.close()
