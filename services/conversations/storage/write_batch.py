"""The group commit's SQL: lock and fence, load; then store and commit (design section 4).

What is sent together runs one after the other, each with a snapshot of its own: the load sees what
committed while the locks were awaited.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.chassis import outbox
from services.chassis.database import note_events, scope
from services.chassis.json_rows import JsonRow, JsonRows, insert, many, one, to_json, values
from services.chassis.keys import DataKey
from services.chassis.line import Row, Statement, Talk
from services.conversations.domain.writing import (
    Earlier,
    Loaded,
    Mark,
    Member,
    Send,
    Thread,
    side_of,
)
from services.conversations.storage.conversations import to_conversation
from services.conversations.storage.events import events_of_thread
from services.conversations.storage.people import PEOPLE_COLUMNS, PEOPLE_JOINS, to_people
from services.conversations.storage.texts import Place, Texts
from services.directory_replica.fence import fence_key
from services.directory_replica.gate import session_refusal
from services.messaging_rule import Side

_MEMBER = """place integer, clinic_id uuid, id uuid, side text, person_id uuid, session_id uuid,
    request_id uuid, up_to bigint"""
_MESSAGE = """clinic_id uuid, conversation_id uuid, sequence bigint, id uuid, sender_side text,
    request_id uuid, ciphertext bytea, key_version integer, fingerprint bytea,
    sent_at timestamptz"""
_MARK = (
    "clinic_id uuid, conversation_id uuid, side text, up_to_sequence bigint, read_at timestamptz"
)
_THREAD = """clinic_id uuid, id uuid, last_sequence bigint, last_activity_at timestamptz,
    staff_unread integer, profile_unread integer, staff_read_sequence bigint,
    profile_read_sequence bigint"""


# Another's thread is none: it is not locked, and a refusal takes as long as for no thread (P10).
_THEIRS = """c.clinic_id = member.clinic_id and c.id = member.id
    and case member.side when 'staff' then c.staff_id else c.profile_id end = member.person_id"""


def _lock(members: str, *, if_locked: str) -> str:
    # The fences come when the threads are locked, as the second part of what is appended.
    return f"""
    with locked as materialized (
        select c.id from {members} join conversations as c on {_THEIRS}
        order by c.clinic_id, c.id for update of c {if_locked}
    )
    select id from locked
    union all
    select null from (
        select pg_advisory_xact_lock_shared(key) from unnest(cast(:keys as bigint[])) as key
    ) as fences
    """


def _load(members: str) -> str:
    # An earlier try is found by its request. With the thread or the clinic to go by, a plan made
    # while there were few messages would read all of them: hence "not distinct", and "offset 0",
    # behind which nothing else is joined first.
    return f"""
    select c.clinic_id, c.id, c.staff_id, c.profile_id, c.created_at, c.last_sequence,
        c.staff_unread, c.profile_unread, c.staff_read_sequence, c.profile_read_sequence,
        c.last_activity_at, {PEOPLE_COLUMNS},
        session.session_id is not null as session_known,
        session.ended_at is null and session.side = member.side
            and session.person_id = member.person_id as session_alive,
        earlier.id as earlier_id, earlier.sequence as earlier_sequence,
        earlier.fingerprint as earlier_fingerprint, earlier.sent_at as earlier_sent_at,
        earlier.deleted_at as earlier_deleted_at,
        case when member.up_to < c.last_sequence then (
            select count(*) from messages as beyond
            where beyond.clinic_id = c.clinic_id and beyond.conversation_id = c.id
              and beyond.sequence > member.up_to and beyond.sender_side <> member.side
              and beyond.deleted_at is null
        ) else 0 end as unread_beyond,
        clock_timestamp() as now
    from {members}
    left join conversations as c on {_THEIRS}
    left join replica_sessions as session
        on session.clinic_id = member.clinic_id and session.session_id = member.session_id
    left join lateral (
        select * from messages as tried
        where tried.clinic_id = member.clinic_id and tried.request_id = member.request_id
          and tried.sender_side = member.side and tried.conversation_id is not distinct from c.id
        offset 0
    ) as earlier on true
    {PEOPLE_JOINS}
    order by member.place
    """


def _move(threads: str) -> str:
    return f"""
    update conversations as c
    set last_sequence = thread.last_sequence, last_activity_at = thread.last_activity_at,
        staff_unread = thread.staff_unread, profile_unread = thread.profile_unread,
        staff_read_sequence = thread.staff_read_sequence,
        profile_read_sequence = thread.profile_read_sequence
    from {threads} where c.clinic_id = thread.clinic_id and c.id = thread.id
    """


def _of_batch(name: str, columns: str, part: str) -> str:
    return many(name, columns, f"cast(:batch as jsonb) -> '{part}'")


_MEMBERS = many("member", _MEMBER, "cast(:members as jsonb)")
_IF_LOCKED = {True: "", False: "skip locked"}
_LOCK_ALL = {wait: text(_lock(_MEMBERS, if_locked=word)) for wait, word in _IF_LOCKED.items()}
_LOAD_ALL = text(_load(_MEMBERS))
_STORE_ALL = text(f"""
with posted as ({insert("messages", _MESSAGE, _of_batch("message", _MESSAGE, "messages"))}),
marked as ({insert("read_marks", _MARK, _of_batch("mark", _MARK, "marks"))}),
told as ({outbox.insert_many("cast(:batch as jsonb) -> 'events'")})
{_move(_of_batch("thread", _THREAD, "threads"))}
""")
# One by one is how sends come to a clinic that is not busy.
_ALONE = one("member", _MEMBER)
_LOCK_ONE = {wait: text(_lock(_ALONE, if_locked=word)) for wait, word in _IF_LOCKED.items()}
_LOAD_ONE = text(_load(_ALONE))
_STORE_ONE = text(f"""
with posted as ({insert("messages", _MESSAGE, one("message", _MESSAGE))}),
told as ({outbox.INSERT_ONE})
{_move(one("thread", _THREAD))}
""")


async def load(
    talk: Talk, batch: Sequence[Member], *, wait: bool
) -> tuple[Sequence[Loaded], datetime]:
    """Lock the threads of a batch, take the fences of its clinics, and read what they hold.

    Also the database's clock after the locks. With `wait` false, threads that another transaction
    holds come back unlocked.
    """
    clinics = {member.caller.clinic for member in batch}
    members = [_member_row(*numbered) for numbered in enumerate(batch)]
    if len(members) == 1:
        lock, read, given = _LOCK_ONE[wait], _LOAD_ONE, values("member", members[0])
    else:
        lock, read, given = _LOCK_ALL[wait], _LOAD_ALL, {"members": to_json(members)}
    fences = {"keys": sorted(map(fence_key, clinics))}
    _, locks, rows = await talk.ask(scope(clinics), (lock, {**given, **fences}), (read, given))
    locked = frozenset(row.id for row in locks)
    loaded = [_to_loaded(member, row, locked) for member, row in zip(batch, rows, strict=True)]
    return loaded, rows[0].now


async def store(
    talk: Talk,
    threads: Iterable[Thread],
    *,
    texts: Texts,
    keys: Mapping[UUID, DataKey],
    now: datetime,
) -> None:
    """Insert the messages, marks and events of a batch, update its threads, and commit: one
    statement, one round trip."""
    changed = [thread for thread in threads if thread.changed]
    if changed:
        batch = {
            "messages": _message_rows(changed, texts, keys),
            "marks": _mark_rows(changed, now),
            "events": _event_rows(changed, now),
            "threads": [_thread_row(thread) for thread in changed],
        }
        note_events(talk)
        await talk.ask(_stored(batch), commit=True)


def _stored(batch: Mapping[str, JsonRows]) -> Statement:
    match batch:
        case {"messages": [message], "marks": [], "events": [event], "threads": [thread]}:
            return _STORE_ONE, {
                **values("message", message),
                **values("event", event),
                **values("thread", thread),
            }
    return _STORE_ALL, {"batch": to_json(batch)}


def _member_row(place: int, member: Member) -> JsonRow:
    caller = member.caller
    return {
        "place": place,
        "clinic_id": caller.clinic,
        "id": member.conversation_id,
        "side": side_of(caller),
        "person_id": caller.person,
        "session_id": caller.session_id,
        "request_id": member.request_id if isinstance(member, Send) else None,
        "up_to": member.up_to_sequence if isinstance(member, Mark) else None,
    }


def _to_loaded(member: Member, row: Row, locked: frozenset[UUID]) -> Loaded:
    return Loaded(
        member=member,
        session_refusal=session_refusal(known=row.session_known, alive=row.session_alive),
        conversation=None if row.id is None else to_conversation(row),
        locked=row.id in locked,
        people=None if row.id is None else to_people(row),
        earlier=None if row.earlier_id is None else _to_earlier(row),
        unread_beyond=row.unread_beyond,
    )


def _to_earlier(row: Row) -> Earlier:
    return Earlier(
        message_id=row.earlier_id,
        sequence=row.earlier_sequence,
        fingerprint=row.earlier_fingerprint,
        sent_at=row.earlier_sent_at,
        deleted_at=row.earlier_deleted_at,
    )


def _message_rows(
    threads: Sequence[Thread], texts: Texts, keys: Mapping[UUID, DataKey]
) -> JsonRows:
    return [
        {
            "clinic_id": message.clinic_id,
            "conversation_id": message.conversation_id,
            "sequence": message.sequence,
            "id": message.id,
            "sender_side": message.sender_side,
            "request_id": send.request_id,
            "ciphertext": texts.seal(keys[message.clinic_id], Place.of(message), send.body),
            "key_version": keys[message.clinic_id].version,
            "fingerprint": send.fingerprint,
            "sent_at": message.sent_at,
        }
        for thread in threads
        for send, message in thread.posted
    ]


def _mark_rows(threads: Sequence[Thread], now: datetime) -> JsonRows:
    return [
        {
            "clinic_id": thread.conversation.clinic_id,
            "conversation_id": thread.conversation.id,
            "side": side,
            "up_to_sequence": up_to,
            "read_at": now,
        }
        for thread in threads
        for side, up_to in thread.marks.items()
    ]


def _event_rows(threads: Sequence[Thread], now: datetime) -> JsonRows:
    return [
        outbox.row_of(event, trace)
        for thread in threads
        for event, trace in events_of_thread(thread, now)
    ]


def _thread_row(thread: Thread) -> JsonRow:
    return {
        "clinic_id": thread.conversation.clinic_id,
        "id": thread.conversation.id,
        "last_sequence": thread.last_sequence,
        "last_activity_at": thread.last_activity_at,
        "staff_unread": thread.unread[Side.STAFF],
        "profile_unread": thread.unread[Side.PROFILE],
        "staff_read_sequence": thread.read_sequence[Side.STAFF],
        "profile_read_sequence": thread.read_sequence[Side.PROFILE],
    }
