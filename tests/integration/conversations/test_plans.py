"""What a send reads does not grow with what its clinic has written."""

from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from services.chassis.clock import system_clock
from services.chassis.database import Database
from services.chassis.identity import Caller, Role
from services.conversations.domain.writing import Send
from services.conversations.storage import write_batch

_CLINICS, _THREADS, _MESSAGES = 20, 100, 5
# Few and well ordered, as when a plan is made early: the clinic looks like the shortest way.
_THREADS_OF = """
insert into conversations (clinic_id, id, staff_id, profile_id, created_at, last_activity_at)
select %s, gen_random_uuid(), %s, gen_random_uuid(), now(), now() from generate_series(1, %s)
"""
_MESSAGES_OF = """
insert into messages (clinic_id, conversation_id, sequence, id, sender_side, request_id,
                      ciphertext, key_version, fingerprint, sent_at)
select clinic_id, id, n, gen_random_uuid(), 'staff', gen_random_uuid(), '', 1, '', now()
from conversations, generate_series(1, %s) as n order by clinic_id, id, n
"""
_READ = text("""
select coalesce(sum(idx_tup_fetch + seq_tup_read), 0) as rows from pg_stat_xact_user_tables
where relname = 'messages'
""")


@pytest.fixture
async def written(postgres):
    """A database of clinics that have written, and the threads of one of their staff."""
    databases = postgres.clone("conversations", label="plans")
    databases.empty()
    staff = Caller(
        role=Role.STAFF,
        name="",
        clinic_id=uuid4(),
        expires_at=system_clock(),
        person_id=uuid4(),
        session_id=uuid4(),
    )
    with psycopg.connect(databases.superuser, autocommit=True) as superuser:
        for clinic in (staff.clinic, *(uuid4() for _ in range(_CLINICS - 1))):
            superuser.execute(_THREADS_OF, [clinic, staff.person, _THREADS])
        superuser.execute(_MESSAGES_OF, [_MESSAGES])
        superuser.execute("vacuum analyze")
        found = superuser.execute(
            "select id from conversations where clinic_id = %s", [staff.clinic]
        ).fetchall()
    database = Database(databases.app, size=1, name="plans")
    yield database, staff, [id for (id,) in found]
    await database.close()


def _send(caller: Caller, thread: UUID) -> Send:
    return Send(
        caller=caller, conversation_id=thread, request_id=uuid4(), body="Hello", fingerprint=b""
    )


@pytest.mark.parametrize("members", [1, 64])
async def test_an_earlier_try_is_looked_for_without_reading_other_messages(written, members):
    database, caller, threads = written
    batch = [_send(caller, thread) for thread in threads[:members]]

    async def work(talk):
        loaded, _ = await write_batch.load(talk, batch, wait=False)
        [[read]] = await talk.ask((_READ, {}))
        return loaded, read.rows

    loaded, read = await database.talk(work)

    assert [each.conversation is not None for each in loaded] == [True] * members
    assert read == 0
