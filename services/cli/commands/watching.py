"""An inbox as it changes, until Ctrl-C."""

import asyncio
import json
from argparse import Namespace
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from rich.console import Console

from clinic.conversations.v1 import conversation_pb2, message_pb2
from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.cli.failures import Refused
from services.cli.output import Told, as_data, plain, word
from services.cli.parsing import Commands, add_person, command
from services.cli.session import Session
from services.cli.suite import Caller, Suite

_PAUSE_SECONDS = 1.0
_COME_BACK = (
    pb.WatchInboxResponse.CLOSE_CAUSE_SERVER_STOPPING,
    pb.WatchInboxResponse.CLOSE_CAUSE_TOO_SLOW,
)


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "watch",
        watch,
        help="show what happens in somebody's inbox as it happens, until Ctrl-C",
        examples=[
            "clinic watch --as practitioner",
            "clinic watch --as patient --json    (one line of JSON for each event)",
        ],
    )
    add_person(parser)


async def watch(session: Session, arguments: Namespace) -> Told:
    show = _show_json if arguments.json else _show_line
    async with session.caller(arguments) as caller:
        cause = await follow(session.suite, caller, show)
    name = pb.WatchInboxResponse.CloseCause.Name(cause)
    said = f"The watch is over: {word(name, 'CLOSE_CAUSE_')}."
    return Told({"closed": name}, plain(said))


async def follow(
    suite: Suite, caller: Caller, show: Callable[[pb.WatchInboxResponse], None]
) -> pb.WatchInboxResponse.CloseCause:
    """Show every event, coming back where the connection was lost or the server asks for it; the
    cause that ended it for good."""
    request = pb.WatchInboxRequest()
    while True:
        try:
            async for event in _events(suite, caller, request):
                if event.WhichOneof("event") == "closing":
                    if event.closing.cause not in _COME_BACK:
                        return event.closing.cause
                    break
                show(event)
        except Refused as refused:
            if refused.code != "UNAVAILABLE":
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def _events(
    suite: Suite, caller: Caller, request: pb.WatchInboxRequest
) -> AsyncIterator[pb.WatchInboxResponse]:
    """The events of one connection; `request` remembers where to go on."""
    async for event in caller.download(suite.conversations.WatchInbox, request):
        if event.resume_token:
            request.resume_token = event.resume_token
        yield event


def _show_json(event: pb.WatchInboxResponse) -> None:
    print(json.dumps(as_data(event), ensure_ascii=False), flush=True)


def _show_line(event: pb.WatchInboxResponse) -> None:
    if told := _told(event):
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        Console(highlight=False).print(plain(f"{now}  {told}"), soft_wrap=True)


def _told(event: pb.WatchInboxResponse) -> str:
    match event.WhichOneof("event"):
        case "message_sent":
            return _message(event.message_sent)
        case "message_deleted":
            return _message(event.message_deleted)
        case "conversation_read":
            read = event.conversation_read
            side = word(message_pb2.Side.Name(read.side), "SIDE_")
            return f"{read.conversation_id}  read up to {read.up_to_sequence} by {side}"
        case "unread_changed":
            return f"unread messages: {event.unread_changed.unread_messages}"
        case "conversation_archived":
            return _archival(event.conversation_archived, "archived")
        case "conversation_unarchived":
            return _archival(event.conversation_unarchived, "no longer archived")
        case "resync":
            return "Something was missed; look into the inbox again."
    return ""


def _message(message: message_pb2.Message) -> str:
    side = word(message_pb2.Side.Name(message.sender_side), "SIDE_")
    body = "(deleted)" if message.HasField("delete_time") else message.body
    return f"{message.conversation_id}  {message.sequence}  {side}: {body}"


def _archival(archival: pb.WatchInboxResponse.Archival, what: str) -> str:
    cause = word(conversation_pb2.ArchiveCause.Name(archival.cause), "ARCHIVE_CAUSE_")
    return f"{archival.conversation_id}  {what}: {cause}"
