"""Mail that comes back, over SMTP, to the address that names its dispatch (I40)."""

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import pytest

from services.chassis.errors import Unavailable
from services.notifications.api.bounces import BounceDoor
from services.notifications.channels.reports import MOST_BYTES
from services.notifications.storage.dispatches import Dispatches
from services.notifications.usecases.take_feedback import take_bounce
from tests.support.eventually import eventually
from tests.support.notifications_world import RETURN_PATHS

REPORT = (
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mail.test\r\n\r\n"
    b"Final-Recipient: rfc822; CANARY@mail.test\r\nAction: failed\r\nStatus: %s\r\n--b--\r\n"
)


@pytest.fixture
async def door(world):
    door = BounceDoor(
        "127.0.0.1:0",
        return_paths=RETURN_PATHS,
        clinic_of=Dispatches(world.worker).clinic_of,
        take=partial(world.storage.act, take_bounce),
    )
    await door.start()
    yield door
    await door.stop()


@pytest.fixture
async def sent(world):
    """A thread, a message whose patient was mailed, and where that mail comes back to."""
    thread = await world.thread()
    message = await thread.send()
    await world.dispatch_due()
    (mail,) = world.mails(thread.profile_id)
    return thread, message, mail.envelope.sender


class Client:
    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer

    async def say(self, line: bytes) -> str:
        """The answer's last line; empty where the server has hung up."""
        self._writer.write(line)
        while (answer := (await self._reader.readline()).decode())[3:4] == "-":
            pass
        return str(answer.strip())


@asynccontextmanager
async def talking_to(door):
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    client = Client(reader, writer)
    assert (await client.say(b"")).startswith("220")
    yield client
    writer.close()


async def hand_over(door, address, status=b"5.1.1"):
    async with talking_to(door) as client:
        await client.say(b"EHLO mail.test\r\n")
        await client.say(b"MAIL FROM:<> SIZE=100\r\n")
        answer = await client.say(b"RCPT TO:<%s> NOTIFY=NEVER\r\n" % address.encode())
        if not answer.startswith("250"):
            return answer
        assert (await client.say(b"DATA\r\n")).startswith("354")
        answer = await client.say(REPORT % status + b".\r\n")
        assert (await client.say(b"QUIT\r\n")).startswith("221")
        return answer


def feedback(world, message):
    return world.rows(message)[0]["feedback"]


async def next_outcome(world, thread):
    message = await thread.send()
    await world.dispatch_due()
    return world.outcome(message)


async def test_a_bounce_for_good_suppresses_the_address(world, door, sent):
    thread, message, address = sent

    assert (await hand_over(door, address)).startswith("250")

    assert feedback(world, message) == "BAD_RECIPIENT"
    assert world.outcome(message) == "SENT"
    assert await next_outcome(world, thread) == "SUPPRESSED(SUPPRESSED)"


async def test_a_bounce_for_now_is_recorded_and_no_more(world, door, sent):
    thread, message, address = sent

    assert (await hand_over(door, address, b"4.4.1")).startswith("250")

    assert feedback(world, message) == "BOUNCED"
    assert await next_outcome(world, thread) == "SENT"


async def test_the_same_bounce_twice_is_one(world, door, sent):
    _, message, address = sent
    await hand_over(door, address)
    told = world.told(message)

    assert (await hand_over(door, address)).startswith("250")

    assert world.told(message) == told


async def test_a_bounce_is_of_the_address_that_the_mail_went_to(world, door, sent):
    thread, _, address = sent
    world.details.addresses[str(thread.profile_id)] = f"new-{thread.profile_id}@mail.test"

    await hand_over(door, address)

    assert await next_outcome(world, thread) == "SENT"


async def test_an_address_that_we_did_not_make_is_refused_when_it_is_named(world, door, sent):
    _, message, address = sent
    forged = [
        "messages@clinic.test",
        address.replace("bounce+", "bounce+a"),
        address.replace(".test", ".example"),
        RETURN_PATHS.of(uuid4()),
    ]

    for each in forged:
        assert (await hand_over(door, each)).startswith("550")

    assert feedback(world, message) is None


async def test_nothing_of_a_bounce_is_stored_or_logged(world, door, sent, capsys):
    _, _, address = sent

    await hand_over(door, address)

    logged = capsys.readouterr()
    assert "bounce_taken" in logged.err
    assert "CANARY" not in logged.out + logged.err + world.everything_stored()


async def test_a_bounce_waits_for_the_database(world, sent):
    async def gone(*_):
        raise Unavailable("The database is out of reach")

    _, _, address = sent
    find = Dispatches(world.worker).clinic_of
    for clinic_of, take in ((gone, gone), (find, gone)):
        door = BounceDoor("127.0.0.1:0", return_paths=RETURN_PATHS, clinic_of=clinic_of, take=take)
        await door.start()

        assert (await hand_over(door, address)).startswith("451")

        await door.stop()


async def test_too_much_is_refused_and_the_next_is_served(door, sent):
    _, _, address = sent
    async with talking_to(door) as client:
        await client.say(b"RCPT TO:<%s>\r\n" % address.encode())
        await client.say(b"DATA\r\n")
        assert (await client.say(b"x\r\n" * (MOST_BYTES // 3 + 1))).startswith("552")
    async with talking_to(door) as client:
        assert (await client.say(b"x" * 10_000)).startswith("552")

    assert (await hand_over(door, address)).startswith("250")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"\r\n", "502"),
        (b"VRFY <nadia@mail.test>\r\n", "502"),
        (b"DATA\r\n", "503"),
        (b"RCPT TO:nadia@mail.test\r\n", "550"),
        (b"RCPT TO:<>\r\n", "550"),
        (b"RCPT TO:<\xff@clinic.test>\r\n", "550"),
        (b"RCPT\r\n", "550"),
        (b"NOOP\r\n", "250"),
        (b"HELO x\r\n", "250"),
    ],
)
async def test_every_command_has_an_answer(door, line, code):
    async with talking_to(door) as client:
        assert (await client.say(line)).startswith(code)


async def test_one_recipient_at_a_time(door, sent):
    _, _, address = sent
    name = b"RCPT TO:<%s>\r\n" % address.encode()
    async with talking_to(door) as client:
        assert (await client.say(name)).startswith("250")
        assert (await client.say(name)).startswith("452")
        assert (await client.say(b"RSET\r\n")).startswith("250")
        assert (await client.say(b"DATA\r\n")).startswith("503")


async def test_a_client_that_hangs_up_in_the_middle_leaves_nothing_behind(world, door, sent):
    _, message, address = sent
    async with talking_to(door) as client:
        await client.say(b"RCPT TO:<%s>\r\n" % address.encode())
        await client.say(b"DATA\r\n")

    async def served():
        return (await hand_over(door, address)).startswith("250")

    await eventually(served)
    assert feedback(world, message) == "BAD_RECIPIENT"


async def test_no_session_is_endless(door):
    async with talking_to(door) as client:
        answers = [await client.say(b"NOOP\r\n") for _ in range(101)]

    assert answers[-1].startswith("421")
