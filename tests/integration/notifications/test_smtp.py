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
from services.notifications.channels.smtp_connections import AT_ONCE
from tests.support.eventually import eventually

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
        self.connections = 0
        self.once = set()
        self.port = 0
        self._writers = []

    async def hang_up(self):
        """Close every connection, as servers do with those that are idle."""
        for writer in self._writers:
            writer.close()
            await writer.wait_closed()

    async def serve(self, reader, writer):
        self.connections += 1
        self._writers.append(writer)
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
        says = self.script[step]
        if step in self.once:
            self.once.remove(step)
            self.script[step] = POLITE[step]
        match says:
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


def channel_to(*servers, **options):
    limits = {"connect_seconds": 0.5, "mail_seconds": 2.0}
    return SmtpChannel(
        *(
            SmtpServer(
                host="127.0.0.1",
                port=server.port,
                sender="messages@clinic.test",
                **limits | options,
            )
            for server in servers
        )
    )


async def send(server, address="nadia@mail.test", **options):
    channel = channel_to(server, **options)
    await send_over(channel, address)
    await channel.close()


async def send_over(channel, address="nadia@mail.test", **options):
    async with channel.open(address, **options) as transmission:
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
        await send(server, most_mails=1)

    assert len(server.mails) == 1


async def test_a_connection_is_kept_for_the_next_mail():
    async with scripted() as server:
        channel = channel_to(server)
        for _ in range(3):
            await send_over(channel)

    assert (server.connections, len(server.mails)) == (1, 3)
    assert [line[:4] for line in server.commands] == ["EHLO", *["MAIL", "RCPT", "DATA"] * 3]


async def test_a_connection_takes_some_mails_and_no_more():
    async with scripted() as server:
        channel = channel_to(server, most_mails=2)
        for _ in range(3):
            await send_over(channel)

        assert server.connections == 2


async def test_a_connection_that_nobody_needs_is_ended():
    async with scripted() as server:
        await send_over(channel_to(server, idle_seconds=0.05))

        async def said_goodbye():
            return server.commands[-1] == "QUIT"

        await eventually(said_goodbye)


@pytest.mark.parametrize("step", ["MAIL", "RCPT"])
@pytest.mark.parametrize("says", ["drop", "hang", "421 too long idle"])
async def test_a_kept_connection_that_is_gone_costs_no_mail(step, says):
    async with scripted() as server:
        channel = channel_to(server)
        await send_over(channel)
        server.script[step] = says
        server.once.add(step)

        await send_over(channel)

    assert (server.connections, len(server.mails)) == (2, 2)


async def test_a_kept_connection_that_the_server_closed_is_not_asked():
    async with scripted() as server:
        channel = channel_to(server)
        await send_over(channel)
        await server.hang_up()

        await send_over(channel)

    assert (server.connections, len(server.mails)) == (2, 2)


@pytest.mark.parametrize("says", ["drop", "hang"])
async def test_silence_after_the_mail_is_unknown_on_a_kept_connection_too(says):
    async with scripted() as server:
        channel = channel_to(server)
        await send_over(channel)
        server.script["mail"] = says

        with pytest.raises(NoAnswer):
            await send_over(channel)

    assert (server.connections, len(server.mails)) == (1, 2)


@pytest.mark.parametrize("says", ["450 later", "550 nobody"])
async def test_a_connection_that_refused_is_not_kept(says):
    async with scripted(RCPT=says) as server:
        channel = channel_to(server)
        for _ in range(2):
            with pytest.raises(ChannelFailure):
                await send_over(channel)

    assert server.connections == 2


async def test_no_more_connections_at_once_than_a_provider_likes():
    async with scripted(DATA="hang") as server:
        channel = channel_to(server, connect_seconds=60, mail_seconds=60)
        sending = [asyncio.create_task(send_over(channel)) for _ in range(2 * AT_ONCE)]

        async def waiting():
            return server.commands.count("DATA") == AT_ONCE

        await eventually(waiting)
        assert server.connections == AT_ONCE
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)


async def test_a_server_gets_so_many_mails_a_second_and_the_others_wait_and_all_arrive():
    async with scripted() as server:
        loop = asyncio.get_running_loop()
        channel, begun = channel_to(server, mails_a_second=30), loop.time()

        await asyncio.gather(*(send_over(channel) for _ in range(40)))

        assert loop.time() - begun > 0.3
    assert len(server.mails) == 40


async def test_who_gives_up_in_line_gives_up_the_place():
    async with scripted() as server:
        channel = channel_to(server, mails_a_second=1)
        await send_over(channel)
        waiting = [asyncio.create_task(send_over(channel)) for _ in range(AT_ONCE)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

        await asyncio.wait_for(send_over(channel), 3)

    assert len(server.mails) == 2


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("greeting", "554 no"),
        ("greeting", "drop"),
        ("greeting", "hang"),
        ("MAIL", "451 later"),
        ("MAIL", "550 you may not send"),
        ("MAIL", "drop"),
        ("RCPT", "450 later"),
        ("RCPT", "drop"),
    ],
)
async def test_the_next_server_is_asked_where_one_has_no_use_for_us(step, says):
    async with scripted(**{step: says}) as first, scripted() as second:
        await send_over(channel_to(first, second))

    assert (len(first.mails), len(second.mails)) == (0, 1)


@pytest.mark.parametrize(
    ("step", "says", "failure"),
    [
        ("RCPT", "550 nobody", AddressRefused),
        ("DATA", "451 later", TryLater),
        ("mail", "451 later", TryLater),
        ("mail", "554 spam", MailRefused),
        ("mail", "drop", NoAnswer),
        ("mail", "hang", NoAnswer),
    ],
)
async def test_no_other_server_is_asked_once_the_address_or_the_mail_is_decided_on(
    step, says, failure
):
    async with scripted(**{step: says}) as first, scripted() as second:
        with pytest.raises(failure):
            await send_over(channel_to(first, second))

    assert second.connections == 0


async def test_a_server_that_was_out_of_reach_is_asked_last_for_a_while():
    async with scripted(greeting="554 no") as first, scripted() as second:
        channel = channel_to(first, second)
        for _ in range(3):
            await send_over(channel)

    assert (first.connections, len(second.mails)) == (1, 3)


async def test_when_no_server_has_a_use_for_us_it_is_for_later():
    async with scripted(MAIL="drop") as first, scripted(greeting="554 no") as second:
        with pytest.raises(TryLater):
            await send_over(channel_to(first, second))


async def test_what_cannot_be_delivered_comes_back_where_the_mail_says():
    async with scripted() as server:
        await send_over(channel_to(server), return_path="bounce+1.2@clinic.test")

    assert "MAIL FROM:<bounce+1.2@clinic.test>" in server.commands


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
