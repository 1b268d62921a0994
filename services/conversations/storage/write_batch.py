"""The group commit's SQL: lock, fence, load; then store and commit (design section 4).

What is sent together runs one after the other, each with a snapshot of its own: the load sees what
committed while the locks were awaited.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import SimpleNamespace
from uuid import UUID

from sqlalchemy import text

from services.chassis import outbox
from services.chassis.database import note_events, scope
from services.chassis.json_rows import JsonRows, to_json
from services.chassis.keys import DataKey
from services.chassis.line import Talk
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

_MEMBERS = """
jsonb_to_recordset(cast(:members as jsonb)) as member (
    place integer, clinic_id uuid, id uuid, side text, person_id uuid, session_id uuid,
    request_id uuid, up_to bigint)
"""
_LOCK = f"""
select c.id from {_MEMBERS}
join conversations as c on c.clinic_id = member.clinic_id and c.id = member.id
order by c.clinic_id, c.id for update of c
"""
_LOCKS = {True: text(_LOCK), False: text(_LOCK + " skip locked")}
_FENCE = text(
    "select pg_advisory_xact_lock_shared(key) from unnest(cast(:keys as bigint[])) as key"
)
# An earlier try is found by its request: "not distinct" keeps the thread's whole index out of it.
_LOAD = text(f"""
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
from {_MEMBERS}
left join conversations as c on c.clinic_id = member.clinic_id and c.id = member.id
left join replica_sessions as session
    on session.clinic_id = member.clinic_id and session.session_id = member.session_id
left join messages as earlier on earlier.clinic_id = c.clinic_id
    and earlier.request_id = member.request_id and earlier.sender_side = member.side
    and earlier.conversation_id is not distinct from c.id
{PEOPLE_JOINS}
order by member.place
""")
_STORE = text(f"""
with posted as (
    insert into messages (clinic_id, conversation_id, sequence, id, sender_side, request_id,
                          ciphertext, key_version, fingerprint, sent_at)
    select * from jsonb_to_recordset(cast(:batch as jsonb) -> 'messages') as message (
        clinic_id uuid, conversation_id uuid, sequence bigint, id uuid, sender_side text,
        request_id uuid, ciphertext bytea, key_version integer, fingerprint bytea,
        sent_at timestamptz)
), marked as (
    insert into read_marks (clinic_id, conversation_id, side, up_to_sequence, read_at)
    select * from jsonb_to_recordset(cast(:batch as jsonb) -> 'marks') as mark (
        clinic_id uuid, conversation_id uuid, side text, up_to_sequence bigint,
        read_at timestamptz)
), told as ({outbox.insert_from("cast(:batch as jsonb) -> 'events'")})
update conversations as c
set last_sequence = new.last_sequence, last_activity_at = new.last_activity_at,
    staff_unread = new.staff_unread, profile_unread = new.profile_unread,
    staff_read_sequence = new.staff_read_sequence,
    profile_read_sequence = new.profile_read_sequence
from jsonb_to_recordset(cast(:batch as jsonb) -> 'threads') as new (
    clinic_id uuid, id uuid, last_sequence bigint, last_activity_at timestamptz,
    staff_unread integer, profile_unread integer, staff_read_sequence bigint,
    profile_read_sequence bigint)
where c.clinic_id = new.clinic_id and c.id = new.id
""")


async def load(
    talk: Talk, batch: Sequence[Member], *, wait: bool
) -> tuple[Sequence[Loaded], datetime]:
    """Lock the threads of a batch, take the fences of its clinics, and read what they hold.

    Also the database's clock after the locks. With `wait` false, threads that another transaction
    holds come back unlocked.
    """
    clinics = {member.caller.clinic for member in batch}
    members = {"members": to_json([_member_row(*numbered) for numbered in enumerate(batch)])}
    _, locks, _, rows = await talk.ask(
        scope(clinics),
        (_LOCKS[wait], members),
        (_FENCE, {"keys": sorted(map(fence_key, clinics))}),
        (_LOAD, members),
    )
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
        await talk.ask((_STORE, {"batch": to_json(batch)}), commit=True)


def _member_row(place: int, member: Member) -> dict[str, object]:
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


def _to_loaded(member: Member, row: SimpleNamespace, locked: frozenset[UUID]) -> Loaded:
    return Loaded(
        member=member,
        session_refusal=session_refusal(known=row.session_known, alive=row.session_alive),
        conversation=None if row.id is None else to_conversation(row),
        locked=row.id in locked,
        people=None if row.id is None else to_people(row),
        earlier=None if row.earlier_id is None else _to_earlier(row),
        unread_beyond=row.unread_beyond,
    )


def _to_earlier(row: SimpleNamespace) -> Earlier:
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


def _thread_row(thread: Thread) -> dict[str, object]:
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
