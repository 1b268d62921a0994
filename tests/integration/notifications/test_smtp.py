"""A mail server's every answer, and its silences, mean one thing each (P4)."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from services.notifications.channels.failures import (
    AddressRefused,
    ChannelFailure,
    MailRefused,
    NoAnswer,
    TryLater,
)
from services.notifications.channels.smtp import SmtpChannel, SmtpServer, SmtpTls

MAIL = b"Subject: s\r\n\r\nfirst\r\n.second\r\n..third\r\n"
POLITE = {
    "greeting": "220 ready",
    "EHLO": "250 mail.test",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go on",
    "mail": "250 taken",
    "QUIT": "221 bye",
}


class ScriptedServer:
    """Says what it is told to; at `hang` it says nothing, at `drop` it closes the connection."""

    def __init__(self, script):
        self.script = POLITE | script
        self.mails = []
        self.commands = []
        self.port = 0

    async def serve(self, reader, writer):
        try:
            await self._say("greeting", writer)
            while line := await reader.readline():
                self.commands.append(line.decode().strip())
                verb = line[:4].decode().upper()
                await self._say(verb, writer)
                if verb == "DATA" and self.script["DATA"].startswith("354"):
                    self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
                    await self._say("mail", writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _say(self, step, writer):
        match self.script[step]:
            case "hang":
                await asyncio.Event().wait()
            case "drop":
                raise ConnectionError
            case words:
                writer.write(f"{words}\r\n".encode())
                await writer.drain()


@asynccontextmanager
async def scripted(**script):
    server = ScriptedServer(script)
    serving: set[asyncio.Task[None]] = set()

    def serve(reader, writer):
        serving.add(asyncio.create_task(server.serve(reader, writer)))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


def channel_to(server, **options):
    limits = {"connect_seconds": 0.3, "mail_seconds": 0.3}
    return SmtpChannel(
        SmtpServer(
            host="127.0.0.1", port=server.port, sender="messages@clinic.test", **limits | options
        )
    )


async def send(server, address="nadia@mail.test", **options):
    async with channel_to(server, **options).open(address) as transmission:
        await transmission.send(MAIL)


async def test_a_mail_arrives_byte_for_byte_with_its_dots_stuffed():
    async with scripted() as server:
        await send(server)

    assert server.mails == [b"Subject: s\r\n\r\nfirst\r\n..second\r\n...third\r\n.\r\n"]
    assert server.commands[1:3] == [
        "MAIL FROM:<messages@clinic.test>",
        "RCPT TO:<nadia@mail.test>",
    ]


@pytest.mark.parametrize(
    ("step", "says", "failure"),
    [
        ("greeting", "554 no", TryLater),
        ("greeting", "hang", TryLater),
        ("greeting", "drop", TryLater),
        ("EHLO", "drop", TryLater),
        ("MAIL", "451 later", TryLater),
        ("MAIL", "550 you may not send", TryLater),
        ("RCPT", "450 later", TryLater),
        ("RCPT", "550 nobody", AddressRefused),
        ("RCPT", "hang", TryLater),
        ("RCPT", "drop", TryLater),
        ("DATA", "421 closing", TryLater),
        ("DATA", "554 no", MailRefused),
        ("DATA", "hang", TryLater),
        ("DATA", "drop", TryLater),
        ("mail", "451 later", TryLater),
        ("mail", "554 spam", MailRefused),
        ("mail", "hang", NoAnswer),
        ("mail", "drop", NoAnswer),
        ("mail", "nonsense", NoAnswer),
    ],
)
async def test_every_answer_means_one_thing(step, says, failure):
    async with scripted(**{step: says}) as server:
        with pytest.raises(ChannelFailure) as raised:
            await send(server)

    assert type(raised.value) is failure


@pytest.mark.parametrize("says", ["hang", "drop", "500 what"])
async def test_what_is_said_after_the_mail_was_taken_changes_nothing(says):
    async with scripted(QUIT=says) as server:
        await send(server)

    assert len(server.mails) == 1


async def test_an_address_in_another_script_is_written_in_idna():
    async with scripted() as server:
        await send(server, "nadia@bücher.test")

    assert "RCPT TO:<nadia@xn--bcher-kva.test>" in server.commands


@pytest.mark.parametrize(
    "address", ["nadia", "@mail.test", "nädia@mail.test", "a b@mail.test", "a@b\r\nRCPT TO:<c@d>"]
)
async def test_what_is_no_address_never_reaches_the_server(address):
    async with scripted() as server:
        with pytest.raises(AddressRefused):
            await send(server, address)

    assert server.commands == []


async def test_without_the_tls_that_was_asked_for_no_mail_goes():
    async with scripted() as server:
        with pytest.raises(TryLater):
            await send(server, tls=SmtpTls.STARTTLS)

    assert server.mails == []
