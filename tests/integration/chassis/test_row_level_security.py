"""The second line between clinics: what the database lets each role see (P8)."""

from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.chassis.database import Database, sqlstate
from tests.support.service_schemas import services_with_migrations

# Positions, leases and cursors of the service itself; what they hold belongs to no clinic.
_OF_NO_CLINIC = {"outbox_head", "outbox_marks", "sweeps", "sweep_tries", "alembic_version"}
# Keyed prints of push tokens: a token leaves its last owner, in whatever clinic that was.
_OF_NO_CLINIC |= {"push_tokens"}

_TABLES = """
    select relname, relrowsecurity and relforcerowsecurity as forced, relkind, exists (
        select from pg_attribute
        where attrelid = pg_class.oid and attname = 'clinic_id' and attnotnull
    ) as has_clinic
    from pg_class
    where relnamespace = 'public'::regnamespace and relkind not in ('i', 'I', 't', 'S', 'c')
"""
_POLICIES = """
    select tablename, roles::text[], cmd, permissive, qual, with_check
    from pg_policies where schemaname = 'public'
"""
_INSERT = text("""
insert into requests (clinic_id, actor, request_id, method, fingerprint, result_id)
values (:clinic, 'ops:test', :id, 'Test', '', :id)
""")


def _write(clinic):
    return lambda connection, _: connection.execute(_INSERT, {"clinic": clinic, "id": uuid4()})


async def _clinics(database, *clinics):
    """The clinics that a query without any filter shows."""

    async def work(connection, _):
        rows = await connection.execute(text("select clinic_id from requests"))
        return set(rows.scalars())

    return await database.transact(work, clinics=clinics)


@pytest.fixture
async def two_clinics(app):
    mine, other = uuid4(), uuid4()
    for clinic in (mine, other):
        await app.transact(_write(clinic), clinics=[clinic])
    return mine, other


async def test_a_query_without_a_filter_shows_the_caller_s_clinic_alone(app, two_clinics):
    mine, other = two_clinics

    assert await _clinics(app, mine) == {mine}
    assert await _clinics(app, mine, other) == {mine, other}


async def test_a_forgotten_clinic_shows_nothing(app, two_clinics):
    assert await _clinics(app) == set()


async def test_a_connection_forgets_its_clinic_with_the_transaction(databases, two_clinics):
    database = Database(databases.app, size=1, name="one connection")
    assert await _clinics(database, two_clinics[0]) == {two_clinics[0]}

    assert await _clinics(database) == set()
    await database.close()


async def test_without_a_clinic_nothing_can_be_written(app, look):
    with pytest.raises(DBAPIError, match="row-level security"):
        await app.transact(_write(uuid4()))

    assert look("select from requests") == []


async def test_nothing_can_be_written_into_another_clinic(app, look):
    with pytest.raises(DBAPIError, match="row-level security"):
        await app.transact(_write(uuid4()), clinics=[uuid4()])

    assert look("select from requests") == []


async def test_rows_of_another_clinic_can_be_neither_changed_nor_moved(app, look):
    mine, other = uuid4(), uuid4()
    insert = text("""
        insert into conversations
            (clinic_id, id, staff_id, profile_id, created_at, last_activity_at)
        values (:clinic, :clinic, :clinic, :clinic, now(), now())
    """)
    for clinic in (mine, other):
        await app.transact(
            lambda connection, _, id=clinic: connection.execute(insert, {"clinic": id}),
            clinics=[clinic],
        )

    async def change(connection, _):
        await connection.execute(text("update conversations set staff_unread = 7"))

    async def move(connection, _):
        await connection.execute(text("update conversations set clinic_id = :to"), {"to": other})

    await app.transact(change, clinics=[mine])
    with pytest.raises(DBAPIError, match="row-level security"):
        await app.transact(move, clinics=[mine])

    assert look("select staff_unread from conversations where id = %s", other) == [(0,)]


async def test_the_worker_crosses_clinics_where_it_has_work_and_nowhere_else(worker, two_clinics):
    assert await _clinics(worker) == set(two_clinics)

    with pytest.raises(DBAPIError, match="permission denied"):
        await worker.connect(lambda connection: connection.execute(text("select from archivals")))


@pytest.mark.parametrize(
    "statement",
    [
        "select from audit",
        "update audit set actor = ''",
        "delete from audit",
        "select from outbox",
        "update outbox set payload = ''",
        "delete from outbox",
        "delete from requests",
        "delete from inbox",
        "delete from messages",
        "update outbox_head set last_position = 0",
        "truncate audit",
        "alter table audit disable row level security",
        "set role conversations_worker",
        "set role conversations_owner",
        "create table public.mine ()",
    ],
)
async def test_the_app_role_may_not(app, statement):
    with pytest.raises(DBAPIError) as refused:
        await app.transact(
            lambda connection, _: connection.execute(text(statement)), clinics=[uuid4()]
        )
    assert sqlstate(refused.value) == "42501"


@pytest.mark.parametrize("statement", ["update audit set actor = ''", "delete from audit"])
async def test_not_even_the_worker_rewrites_the_audit(worker, statement):
    with pytest.raises(DBAPIError, match="permission denied"):
        await worker.connect(lambda connection: connection.execute(text(statement)))


@pytest.mark.parametrize("service", services_with_migrations())
def test_no_role_of_a_service_is_above_the_policies(service, service_databases):
    with psycopg.connect(service_databases(service).superuser) as connection:
        roles = connection.execute(
            "select rolname, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb"
            " or rolreplication from pg_roles where rolname like %s",
            [f"{service}\\_%"],
        ).fetchall()

    expected = {f"{service}_{role}" for role in ("owner", "app", "worker")}
    assert dict(roles) == dict.fromkeys(expected, False)


@pytest.mark.parametrize("service", services_with_migrations())
def test_every_table_of_a_clinic_forces_the_same_policies(service, service_databases):
    with psycopg.connect(service_databases(service).superuser) as connection:
        tables = connection.execute(_TABLES).fetchall()
        policies = connection.execute(_POLICIES).fetchall()

    # No view and no foreign table: they would read with the rights of whoever made them.
    assert {kind for _, _, kind, _ in tables} == {"r"}
    assert {name for name, _, _, has_clinic in tables if not has_clinic} <= _OF_NO_CLINIC
    assert [name for name, forced, _, has_clinic in tables if has_clinic and not forced] == []
    of_clinics = {name for name, _, _, has_clinic in tables if has_clinic}
    assert {table for table, *_ in policies} == of_clinics
    for _, (role,), command, permissive, visible, writable in policies:
        assert (command, permissive) == ("ALL", "PERMISSIVE")
        assert visible == writable
        assert (role, visible) in _allowed_policies(service)


def _allowed_policies(service):
    of_scope = (
        "COALESCE((clinic_id = ANY (( SELECT (string_to_array(NULLIF("
        "current_setting('app.clinics'::text, true), ''::text), ','::text))::uuid[]"
        " AS string_to_array)::uuid[])), false)"
    )
    return {(f"{service}_app", of_scope), (f"{service}_worker", "true")}
