"""What has to hold when the faults are over: of what people read, and of every database."""

from collections import Counter
from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import Row, create_engine, make_url, text

from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.conversations.v1.message_pb2 import Message
from deploy.local.ports import SERVICES
from deploy.local.stack import Stack
from services.chassis.client import Peer, Signer, open_channel
from services.chassis.errors import Unavailable
from services.cli.suite import Suite
from services.directory_replica import store
from services.directory_replica.directory import DirectoryClient
from services.directory_replica.replica import Key, id_of
from services.directory_replica.states import ProfileState, StaffState, State
from tests.faults.book import Book, Thread
from tests.faults.movers import insist
from tests.faults.traffic import Traffic
from tests.support.mailbox import Mail
from tests.support.suite import Member

States = dict[Key, State]
_REPLICAS = ("conversations", "notifications", "export")
_READERS: dict[str, Callable[[Row[tuple[object, ...]]], State]] = {
    "replica_clinics": store.to_clinic,
    "replica_staff": store.to_staff,
    "replica_profiles": store.to_profile,
    "replica_sessions": store.to_session,
}
# Each side reads in pages of its own size.
_PAGE_SIZES = (37, 200)
_OUTBOX = """
select h.last_position, h.published_position, count(o.id) as held, count(o.position) as numbered,
    coalesce(max(o.position), 0) as newest, (select count(*) from dead_letters) as dead
from outbox_head as h left join outbox as o on true
group by h.last_position, h.published_position
"""
_EXPECTED_ROWS = """
select m.id, m.sender_side,
    case m.sender_side when 'staff' then c.profile_id else c.staff_id end as recipient
from messages as m join conversations as c
    on c.clinic_id = m.clinic_id and c.id = m.conversation_id
"""
# Staff get mail only (R17).
_CHANNELS = {"staff": ("EMAIL", "PUSH"), "profile": ("EMAIL",)}
_LEDGER = "select message_id, recipient_id, channel from deliveries"
_THREADS = "select id, staff_id, profile_id, clinic_id, reasons from conversations"
_OPEN_ARCHIVALS = """
select conversation_id as id, array_agg(cause || ':' || cause_id) as reasons
from archivals where unarchived_at is null group by conversation_id
"""
_MISCOUNTED = """
select c.id from conversations as c cross join lateral (
    select count(*) as messages,
        count(*) filter (where m.sender_side = 'profile' and m.deleted_at is null
                         and m.sequence > c.staff_read_sequence) as staff_unread,
        count(*) filter (where m.sender_side = 'staff' and m.deleted_at is null
                         and m.sequence > c.profile_read_sequence) as profile_unread
    from messages as m where m.clinic_id = c.clinic_id and m.conversation_id = c.id
) as counted
where (c.last_sequence, c.staff_unread, c.profile_unread)
    <> (counted.messages, counted.staff_unread, counted.profile_unread)
"""
_UNSETTLED = "select id from deliveries where state in ('HELD', 'CLAIMED', 'TRANSMITTING')"
_DISPATCHES = """
select dispatch_id, state, bool_or(resent) as resent from deliveries
where dispatch_id is not null and channel = 'EMAIL' group by dispatch_id, state
"""
_UNREAD = (
    "select coalesce(sum({side}_unread), 0) as unread from conversations where {side}_id = :id"
)


def rows(
    stack: Stack, database: str, query: str, **named: object
) -> Sequence[Row[tuple[object, ...]]]:
    """What a database holds, row-level security aside."""
    url = make_url(stack.superuser_url(database)).set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.execute(text(query), named).all()
    finally:
        engine.dispose()


# What people read.


async def check_reading(traffic: Traffic, thread: Thread, readers: Sequence[Member]) -> None:
    """Every acknowledged message exactly once, in one order, the same on both sides (P1, P6)."""
    for reader, page_size in zip(dict.fromkeys(readers), _PAGE_SIZES, strict=False):
        messages = await _read(traffic.suite, thread, reader, page_size)
        assert [message.sequence for message in messages] == list(range(1, len(messages) + 1))
        _compare(traffic.book, thread, {message.message_id: message for message in messages})


def _compare(book: Book, thread: Thread, messages: dict[str, Message]) -> None:
    sent = {each.message_id: each for each in book.acked_in(thread)}
    assert messages.keys() == sent.keys()
    for id, message in messages.items():
        assert message.sequence == sent[id].sequence
        assert message.body == ("" if id in book.deleted else sent[id].body)
        assert message.HasField("delete_time") == (id in book.deleted)
    for device, sender in {(each.device, each.sender) for each in sent.values()}:
        order = [
            each.sequence
            for each in sent.values()
            if (each.device, each.sender) == (device, sender)
        ]
        assert order == sorted(order)


async def _read(suite: Suite, thread: Thread, reader: Member, page_size: int) -> list[Message]:
    request = pb.ListMessagesRequest(
        conversation_id=thread.id,
        order=pb.MESSAGE_ORDER_OLDEST_FIRST,
        page_size=page_size,
    )
    found: list[Message] = []
    while True:
        page = await insist(reader, suite.conversations.ListMessages, request)
        found += page.messages
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def check_badge(stack: Stack, suite: Suite, member: Member) -> None:
    """The badge is the sum of what is unread in the threads."""
    request = pb.GetUnreadSummaryRequest()
    badge = await insist(member, suite.conversations.GetUnreadSummary, request)
    query = _UNREAD.format(side=member.person.side)
    (found,) = rows(stack, "conversations", query, id=UUID(member.id))
    assert badge.unread_messages == found.unread


def check_counts(stack: Stack) -> None:
    """Sequences have no gap, and every unread number is what a recount gives (P6)."""
    assert not rows(stack, "conversations", _MISCOUNTED)


# What the services know of each other.


async def converged(stack: Stack) -> bool:
    """Asserts that every event has had its effect everywhere, once; mails may still be leaving."""
    check_outboxes(stack, ("directory", "conversations"))
    check_ledger(stack)
    try:
        states = await directory_states(stack)
    except Unavailable as later:  # a connection to a server that is gone is found out by a call
        raise AssertionError("the directory asks to be called again") from later
    for service in _REPLICAS:
        assert _replica(stack, service) == states, f"the replica of {service} differs"
    check_reasons(stack, states)
    return True


def check_outboxes(stack: Stack, services: Sequence[str] = SERVICES) -> None:
    """Every event has a position, without a gap; all are published; nothing was set aside."""
    for service in services:
        (head,) = rows(stack, service, _OUTBOX)
        assert head.dead == 0, f"{service} has dead letters"
        numbers = {head.last_position, head.published_position, head.numbered, head.newest}
        assert numbers == {head.held}, f"outbox of {service}: {head}"


def check_ledger(stack: Stack) -> None:
    """One row for each message, recipient and channel, and no row beside (P4)."""
    expected = Counter(
        (row.id, row.recipient, channel)
        for row in rows(stack, "conversations", _EXPECTED_ROWS)
        for channel in _CHANNELS[row.sender_side]
    )
    ledger = Counter(
        (row.message_id, row.recipient_id, row.channel)
        for row in rows(stack, "notifications", _LEDGER)
    )
    missing, beside = expected - ledger, ledger - expected
    assert (len(missing), len(beside)) == (0, 0), "messages without a row, rows without a message"


async def directory_states(stack: Stack) -> States:
    """Every current state, as the directory streams it to a replica."""
    channel = open_channel(stack.internal_address("directory"))
    signer = Signer(stack.keys / "service-export.jwk", audience="clinic")
    directory = DirectoryClient(channel, Peer("directory", signer=signer))
    try:
        return {_key(state): state async for state in directory.stream_states()}
    finally:
        await channel.close()


def _replica(stack: Stack, service: str) -> States:
    held = [
        to_state(row)
        for table, to_state in _READERS.items()
        for row in rows(stack, service, f"select * from {table}")
    ]
    return {_key(state): state for state in held}


def _key(state: State) -> Key:
    return type(state), state.clinic_id, id_of(state)


def check_reasons(stack: Stack, states: States) -> None:
    """Each thread's reasons, and its open archivals, are those that the two people's states say."""
    threads = rows(stack, "conversations", _THREADS)
    archivals = {row.id: row.reasons for row in rows(stack, "conversations", _OPEN_ARCHIVALS)}
    for thread in threads:
        derived = _reasons(
            states[ProfileState, thread.clinic_id, thread.profile_id],
            states[StaffState, thread.clinic_id, thread.staff_id],
        )
        assert sorted(thread.reasons) == derived
        assert sorted(archivals.get(thread.id, [])) == derived


def _reasons(profile: State, staff: State) -> list[str]:
    assert isinstance(profile, ProfileState)
    assert isinstance(staff, StaffState)
    merged = [f"MERGED_AWAY:{profile.merge_id}"] if profile.merge_id else []
    left = [f"STAFF_INACTIVE:{staff.deactivation_id}"] if staff.deactivation_id else []
    return merged + left


# What the mailbox got.


async def mails_settled(stack: Stack) -> bool:
    """Asserts that nothing waits to be sent, and that what became of it is published."""
    assert not rows(stack, "notifications", _UNSETTLED)
    check_outboxes(stack)
    return True


def check_mails(stack: Stack, mails: Sequence[Mail]) -> None:
    """Each dispatch that was sent is one mail, but for those that a crash made uncertain."""
    got = Counter(mail["headers"]["Message-ID"].strip("<>").partition("@")[0] for mail in mails)
    dispatches = rows(stack, "notifications", _DISPATCHES)
    uncertain = {str(row.dispatch_id) for row in dispatches if row.resent or row.state == "UNKNOWN"}
    sent = {str(row.dispatch_id) for row in dispatches if row.state == "SENT"}
    assert sent <= got.keys() <= sent | uncertain
    assert {id for id, times in got.items() if times > 1} <= uncertain
    print(f"{len(got)} mails, {len(uncertain)} uncertain, {got.total() - len(got)} twice")
