"""Conversations as their two people see them."""

import sys
from argparse import Namespace

from rich.console import Group
from rich.text import Text

from clinic.conversations.v1 import conversation_pb2, message_pb2
from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.actor import all_messages
from services.cli.failures import Failed
from services.cli.output import (
    Row,
    Told,
    as_data,
    details,
    lines,
    named,
    plain,
    table,
    when,
    word,
)
from services.cli.parsing import Commands, add_person, command
from services.cli.session import Session
from services.cli.suite import Caller

_PAGE = 200


def add(commands: Commands) -> None:
    _add_writing(commands)
    _add_reading(commands)


def _add_writing(commands: Commands) -> None:
    parser = command(
        commands,
        "start",
        start,
        help="open the conversation of a staff member with a patient or contact",
        examples=[
            "clinic start 0199d1a0-… --as practitioner",
            'clinic start 0199d1a0-… "Your results are in." --as practitioner',
        ],
    )
    parser.add_argument("profile_id", metavar="PROFILE", help="whom to write to")
    parser.add_argument("text", nargs="?", help="a first message; - reads it from the input")
    add_person(parser)
    parser = command(
        commands,
        "send",
        send,
        help="write into a conversation",
        examples=[
            'clinic send 0199d1a0-… "How are you today?" --as practitioner',
            "clinic send 0199d1a0-… - --as patient < letter.txt",
        ],
    )
    parser.add_argument("conversation", metavar="CONVERSATION")
    parser.add_argument("text", help="the message; - reads it from the input")
    add_person(parser)
    parser = command(
        commands,
        "delete",
        delete,
        help="erase a message that one sent within the last five minutes, for good",
        examples=["clinic delete 0199d1a0-… 3 --as practitioner"],
    )
    parser.add_argument("conversation", metavar="CONVERSATION")
    parser.add_argument("sequence", metavar="NUMBER", type=int, help="of the message, from 1")
    add_person(parser)


def _add_reading(commands: Commands) -> None:
    parser = command(
        commands,
        "inbox",
        inbox,
        help="list somebody's conversations, latest first",
        examples=[
            "clinic inbox --as practitioner",
            "clinic inbox --as patient --unread",
            "clinic inbox --as practitioner --search gar",
        ],
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--unread", action="store_true", help="only those with unread messages")
    which.add_argument("--archived", action="store_true", help="only archived ones")
    parser.add_argument("--search", metavar="NAME", default="", help="only with these people")
    add_person(parser)
    parser = command(
        commands,
        "read",
        read,
        help="open a conversation, which marks it as read",
        examples=["clinic read 0199d1a0-… --as patient", "clinic read 0199d1a0-… --peek --as …"],
    )
    parser.add_argument("conversation", metavar="CONVERSATION")
    parser.add_argument("--peek", action="store_true", help="leave unread what is unread")
    add_person(parser)


async def start(session: Session, arguments: Namespace) -> Told:
    stubs = session.suite.conversations
    async with session.caller(arguments) as caller:
        request = pb.StartConversationRequest(
            profile_id=arguments.profile_id, request_id=str(uuid7())
        )
        conversation = (await caller.call(stubs.StartConversation, request)).conversation
        if arguments.text is None:
            return Told(as_data(conversation), _described(conversation))
        message = await _send(session, caller, conversation.conversation_id, arguments.text)
    return Told(
        {"conversation": as_data(conversation), "message": as_data(message)},
        Group(_described(conversation), _sent(message)),
    )


async def send(session: Session, arguments: Namespace) -> Told:
    async with session.caller(arguments) as caller:
        message = await _send(session, caller, arguments.conversation, arguments.text)
    return Told(as_data(message), _sent(message))


async def delete(session: Session, arguments: Namespace) -> Told:
    request = pb.DeleteMessageRequest(
        conversation_id=arguments.conversation,
        sequence=arguments.sequence,
        request_id=str(uuid7()),
    )
    async with session.caller(arguments) as caller:
        answer = await caller.call(session.suite.conversations.DeleteMessage, request)
    said = f"Message {answer.message.sequence} is deleted; its text is gone for good."
    return Told(as_data(answer.message), lines(said))


async def inbox(session: Session, arguments: Namespace) -> Told:
    filter = pb.CONVERSATION_FILTER_ALL
    if arguments.unread:
        filter = pb.CONVERSATION_FILTER_UNREAD
    elif arguments.archived:
        filter = pb.CONVERSATION_FILTER_ARCHIVED
    stubs = session.suite.conversations
    async with session.caller(arguments) as caller:
        request = pb.ListConversationsRequest(
            filter=filter, query=arguments.search, page_size=_PAGE
        )
        listed = await caller.call(stubs.ListConversations, request)
        badge = await caller.call(stubs.GetUnreadSummary, pb.GetUnreadSummaryRequest())
    rows = [_row(each) for each in listed.conversations]
    more = "The latest 200; --search finds the others." if listed.next_page_token else ""
    said = f"Unread messages: {badge.unread_messages}. {more}"
    shown = table(("conversation", "unread", "latest"), rows, empty="No conversations.")
    data = [as_data(each) for each in listed.conversations]
    return Told({"conversations": data, **as_data(badge)}, Group(shown, plain(said)))


async def read(session: Session, arguments: Namespace) -> Told:
    stubs = session.suite.conversations
    async with session.caller(arguments) as caller:
        asked = pb.GetConversationRequest(conversation_id=arguments.conversation)
        conversation = (await caller.call(stubs.GetConversation, asked)).conversation
        messages = await all_messages(session.suite, caller, arguments.conversation)
        if messages and not arguments.peek:
            request = pb.MarkConversationReadRequest(
                conversation_id=arguments.conversation, up_to_sequence=messages[-1].sequence
            )
            await caller.call(stubs.MarkConversationRead, request)
    data = [as_data(each) for each in messages]
    shown = [_line(each, conversation) for each in messages]
    return Told(
        {"conversation": as_data(conversation), "messages": data},
        Group(_described(conversation), *shown),
    )


async def _send(
    session: Session, caller: Caller, conversation_id: str, text: str
) -> message_pb2.Message:
    request = pb.SendMessageRequest(
        conversation_id=conversation_id,
        body=_from_input() if text == "-" else text,
        request_id=str(uuid7()),
    )
    return (await caller.call(session.suite.conversations.SendMessage, request)).message


def _from_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise Failed("The message on the input is not UTF-8 text.") from error


def _sent(message: message_pb2.Message) -> Text:
    return plain(f"Sent as message {message.sequence} at {when(message.send_time)}.")


def _row(conversation: conversation_pb2.Conversation) -> Row:
    names = f"{conversation.staff_display_name} — {conversation.profile_display_name}"
    unread = str(conversation.unread_count) if conversation.unread_count else ""
    latest = f"{when(conversation.last_activity_time)} {_archived(conversation)}"
    if conversation.HasField("last_message"):
        latest = f"{latest}\n{_body(conversation.last_message)}"
    return named(names, conversation.conversation_id), unread, latest


def _described(conversation: conversation_pb2.Conversation) -> Group:
    refusal = conversation_pb2.CannotWriteReason.Name(conversation.cannot_write_reason)
    why = word(refusal, "CANNOT_WRITE_REASON_")
    pairs = [
        ("conversation", conversation.conversation_id),
        ("staff", conversation.staff_display_name or conversation.staff_id),
        ("patient", conversation.profile_display_name or conversation.profile_id),
        ("unread", str(conversation.unread_count)),
        ("can write", "yes" if conversation.can_write else f"no: {why}"),
        ("archived", _archived(conversation)),
    ]
    return Group(details((name, value) for name, value in pairs if value), "")


def _archived(conversation: conversation_pb2.Conversation) -> str:
    causes = (
        word(conversation_pb2.ArchiveCause.Name(each.cause), "ARCHIVE_CAUSE_")
        for each in conversation.archive_reasons
    )
    found = ", ".join(causes)
    return f"(archived: {found})" if found else ""


def _line(message: message_pb2.Message, conversation: conversation_pb2.Conversation) -> Text:
    ours = message.sender_side == message_pb2.SIDE_STAFF
    sender = conversation.staff_display_name if ours else conversation.profile_display_name
    read = f" · read {when(message.read_time)}" if message.HasField("read_time") else ""
    head = f"{message.sequence}  {sender or '(no name yet)'}  {when(message.send_time)}{read}\n"
    return Text.assemble((plain(head).plain, "bold"), plain(f"{_body(message)}\n"))


def _body(message: message_pb2.Message) -> str:
    return "(deleted)" if message.HasField("delete_time") else message.body
