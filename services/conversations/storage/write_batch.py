"""The group commit's SQL: lock, fence, load, store; pipelined on the driver (design section 4).

The statements are sent together and run one after the other, each with a snapshot of its own: the
load sees what committed while the locks were awaited.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import SimpleNamespace
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, kwargs_row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis.database import clinic_list, note_events
from services.chassis.ids import uuid7
from services.chassis.keys import DataKey
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
from services.conversations.storage.texts import Texts
from services.directory_replica.fence import fence_key
from services.directory_replica.gate import session_refusal
from services.messaging_rule import Side

Driver = psycopg.AsyncConnection[TupleRow]

_rows = kwargs_row(SimpleNamespace)

_SCOPE = "select set_config('app.clinics', %(clinics)s, true)"
_LOCK = """
select c.id from unnest(%(clinic_ids)s::uuid[], %(ids)s::uuid[]) as wanted (clinic_id, id)
join conversations as c using (clinic_id, id)
order by c.clinic_id, c.id for update of c
"""
_LOCK_FREE = _LOCK + " skip locked"
_FENCE = "select pg_advisory_xact_lock_shared(key) from unnest(%(keys)s::bigint[]) as key"
_LOAD = f"""
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
from unnest(%(clinic_ids)s::uuid[], %(ids)s::uuid[], %(sides)s::text[], %(persons)s::uuid[],
            %(sessions)s::uuid[], %(requests)s::uuid[], %(ups)s::bigint[])
    with ordinality
    as member (clinic_id, id, side, person_id, session_id, request_id, up_to, place)
left join conversations as c on c.clinic_id = member.clinic_id and c.id = member.id
left join replica_sessions as session
    on session.clinic_id = member.clinic_id and session.session_id = member.session_id
left join messages as earlier on earlier.clinic_id = c.clinic_id
    and earlier.conversation_id = c.id and earlier.sender_side = member.side
    and earlier.request_id = member.request_id
{PEOPLE_JOINS}
order by member.place
"""
_STORE = """
with posted as (
    insert into messages (clinic_id, conversation_id, sequence, id, sender_side, request_id,
                          ciphertext, key_version, fingerprint, sent_at)
    select * from unnest(
        %(m_clinic_ids)s::uuid[], %(m_conversation_ids)s::uuid[], %(m_sequences)s::bigint[],
        %(m_ids)s::uuid[], %(m_sides)s::text[], %(m_request_ids)s::uuid[],
        %(m_ciphertexts)s::bytea[], %(m_key_versions)s::int[], %(m_fingerprints)s::bytea[],
        %(m_sent_ats)s::timestamptz[])
), marked as (
    insert into read_marks (clinic_id, conversation_id, side, up_to_sequence, read_at)
    select * from unnest(%(r_clinic_ids)s::uuid[], %(r_conversation_ids)s::uuid[],
        %(r_sides)s::text[], %(r_ups)s::bigint[], %(r_read_ats)s::timestamptz[])
), told as (
    insert into outbox (event_id, clinic_id, kind, type, aggregate_type, aggregate_id,
                        aggregate_version, staff_id, profile_id, payload, trace)
    select event_id, clinic_id, 'fact', type, 'conversation', aggregate_id, version,
           staff_id, profile_id, payload, trace
    from unnest(%(e_ids)s::uuid[], %(e_clinic_ids)s::uuid[], %(e_types)s::text[],
                %(e_aggregate_ids)s::uuid[], %(e_versions)s::bigint[], %(e_staff_ids)s::uuid[],
                %(e_profile_ids)s::uuid[], %(e_payloads)s::bytea[], %(e_traces)s::text[])
         as event (event_id, clinic_id, type, aggregate_id, version, staff_id, profile_id, payload,
                   trace)
)
update conversations as c
set last_sequence = new.last_sequence, last_activity_at = new.last_activity_at,
    staff_unread = new.staff_unread, profile_unread = new.profile_unread,
    staff_read_sequence = new.staff_read, profile_read_sequence = new.profile_read
from unnest(%(c_clinic_ids)s::uuid[], %(c_ids)s::uuid[], %(c_last_sequences)s::bigint[],
            %(c_last_activity_ats)s::timestamptz[], %(c_staff_unreads)s::int[],
            %(c_profile_unreads)s::int[], %(c_staff_reads)s::bigint[],
            %(c_profile_reads)s::bigint[])
     as new (clinic_id, id, last_sequence, last_activity_at, staff_unread, profile_unread,
             staff_read, profile_read)
where c.clinic_id = new.clinic_id and c.id = new.id
"""


async def load(
    connection: AsyncConnection, batch: Sequence[Member], *, wait: bool
) -> tuple[Sequence[Loaded], datetime]:
    """Lock the threads of a batch, take the fences of its clinics, and read what they hold.

    Also the database's clock after the locks. With `wait` false, threads that another transaction
    holds come back unlocked.
    """
    driver = await _driver(connection)
    parameters = _load_parameters(batch)
    async with driver.pipeline(), driver.cursor(row_factory=_rows) as locks:
        await driver.execute(_SCOPE, parameters)
        await locks.execute(_LOCK if wait else _LOCK_FREE, parameters)
        await driver.execute(_FENCE, parameters)
        loads = await driver.cursor(row_factory=_rows).execute(_LOAD, parameters)
        locked = frozenset(row.id for row in await locks.fetchall())
        rows = await loads.fetchall()
    loaded = [_to_loaded(member, row, locked) for member, row in zip(batch, rows, strict=True)]
    return loaded, rows[0].now


async def store(
    connection: AsyncConnection,
    threads: Iterable[Thread],
    *,
    texts: Texts,
    keys: Mapping[UUID, DataKey],
    now: datetime,
) -> None:
    """Insert the messages, marks and events of a batch and update its threads: one statement."""
    changed = [thread for thread in threads if thread.changed]
    if changed:
        parameters = (
            _message_arrays(changed, texts, keys)
            | _mark_arrays(changed, now)
            | _event_arrays(changed, now)
            | _thread_arrays(changed)
        )
        await (await _driver(connection)).execute(_STORE, parameters)
        note_events(connection)


async def _driver(connection: AsyncConnection) -> Driver:
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver


def _load_parameters(batch: Sequence[Member]) -> dict[str, object]:
    clinics = {member.caller.clinic for member in batch}
    sends = [member if isinstance(member, Send) else None for member in batch]
    marks = [member if isinstance(member, Mark) else None for member in batch]
    return {
        "clinics": clinic_list(clinics),
        "keys": sorted(map(fence_key, clinics)),
        "clinic_ids": [member.caller.clinic for member in batch],
        "ids": [member.conversation_id for member in batch],
        "sides": [side_of(member.caller) for member in batch],
        "persons": [member.caller.person for member in batch],
        "sessions": [member.caller.session_id for member in batch],
        "requests": [send and send.request_id for send in sends],
        "ups": [mark and mark.up_to_sequence for mark in marks],
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


def _message_arrays(
    threads: Sequence[Thread], texts: Texts, keys: Mapping[UUID, DataKey]
) -> dict[str, object]:
    posted = [pair for thread in threads for pair in thread.posted]
    return {
        "m_clinic_ids": [message.clinic_id for _, message in posted],
        "m_conversation_ids": [message.conversation_id for _, message in posted],
        "m_sequences": [message.sequence for _, message in posted],
        "m_ids": [message.id for _, message in posted],
        "m_sides": [message.sender_side for _, message in posted],
        "m_request_ids": [send.request_id for send, _ in posted],
        "m_ciphertexts": [texts.seal(keys[m.clinic_id], m, send.body) for send, m in posted],
        "m_key_versions": [keys[message.clinic_id].version for _, message in posted],
        "m_fingerprints": [send.fingerprint for send, _ in posted],
        "m_sent_ats": [message.sent_at for _, message in posted],
    }


def _mark_arrays(threads: Sequence[Thread], now: datetime) -> dict[str, object]:
    marks = [(thread, side, up_to) for thread in threads for side, up_to in thread.marks.items()]
    return {
        "r_clinic_ids": [thread.conversation.clinic_id for thread, _, _ in marks],
        "r_conversation_ids": [thread.conversation.id for thread, _, _ in marks],
        "r_sides": [side for _, side, _ in marks],
        "r_ups": [up_to for _, _, up_to in marks],
        "r_read_ats": [now for _ in marks],
    }


def _event_arrays(threads: Sequence[Thread], now: datetime) -> dict[str, object]:
    traced = [pair for thread in threads for pair in events_of_thread(thread, now)]
    events = [event for event, _ in traced]
    return {
        "e_traces": [trace for _, trace in traced],
        "e_ids": [uuid7() for _ in events],
        "e_clinic_ids": [event.clinic_id for event in events],
        "e_types": [event.type for event in events],
        "e_aggregate_ids": [event.aggregate_id for event in events],
        "e_versions": [event.aggregate_version for event in events],
        "e_staff_ids": [event.staff_id for event in events],
        "e_profile_ids": [event.profile_id for event in events],
        "e_payloads": [event.payload for event in events],
    }


def _thread_arrays(threads: Sequence[Thread]) -> dict[str, object]:
    return {
        "c_clinic_ids": [thread.conversation.clinic_id for thread in threads],
        "c_ids": [thread.conversation.id for thread in threads],
        "c_last_sequences": [thread.last_sequence for thread in threads],
        "c_last_activity_ats": [thread.last_activity_at for thread in threads],
        "c_staff_unreads": [thread.unread[Side.STAFF] for thread in threads],
        "c_profile_unreads": [thread.unread[Side.PROFILE] for thread in threads],
        "c_staff_reads": [thread.read_sequence[Side.STAFF] for thread in threads],
        "c_profile_reads": [thread.read_sequence[Side.PROFILE] for thread in threads],
    }
