"""Every service's schema can be made, undone and made again."""

import asyncio
import os
import subprocess
import sys

import psycopg
import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import ProgrammingError

from services.chassis.schema import (
    current_revision,
    migrate,
    newest_revision,
    undo_migrations,
)
from tests.support.service_schemas import services_with_migrations

_COLUMNS = """
    select table_name, column_name, data_type, is_nullable, column_default, collation_name
    from information_schema.columns where table_schema = 'public'
"""
_INDEXES = "select indexdef from pg_indexes where schemaname = 'public'"
_CONSTRAINTS = """
    select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
    where connamespace = 'public'::regnamespace
"""
_GRANTS = """
    select grantee, table_name, privilege_type from information_schema.role_table_grants
    where table_schema = 'public'
"""
_POLICIES = "select tablename, policyname, qual, with_check from pg_policies"


def _schema(database):
    """Everything that a release relies on."""
    with psycopg.connect(database.superuser) as connection:
        queries = (_COLUMNS, _INDEXES, _CONSTRAINTS, _GRANTS, _POLICIES)
        return [set(connection.execute(query).fetchall()) for query in queries]


def _tables(database):
    with psycopg.connect(database.superuser) as connection:
        query = "select relname from pg_class where relnamespace = 'public'::regnamespace"
        return {name for (name,) in connection.execute(query).fetchall()}


@pytest.mark.parametrize("service", services_with_migrations())
def test_up_down_and_up_again_gives_the_same_schema(service, postgres):
    empty = postgres.database(service, label="up_down_up")
    migrate(service, empty.owner)
    first = _schema(empty)
    undo_migrations(service, empty.owner)
    left = _tables(empty)

    migrate(service, empty.owner)

    assert left <= {"alembic_version", "alembic_version_pkc"}
    assert _schema(empty) == first


async def test_two_programs_at_once_migrate_once(postgres):
    database = postgres.database("conversations", label="at_once")
    program = "import sys; from services.chassis.schema import migrate; migrate(*sys.argv[1:])"
    command = (sys.executable, "-c", program, "conversations", database.owner)

    programs = [await asyncio.create_subprocess_exec(*command) for _ in range(2)]

    assert [await program.wait() for program in programs] == [0, 0]
    engine = create_engine(make_url(database.owner).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        assert current_revision(connection) == newest_revision("conversations")
    engine.dispose()


def test_a_migration_that_fails_lets_the_next_one_try(postgres):
    database = postgres.database("conversations", label="fails")
    with psycopg.connect(database.owner) as connection:
        connection.execute("create table inbox ()")
    with pytest.raises(ProgrammingError, match="already exists"):
        migrate("conversations", database.owner)
    with psycopg.connect(database.owner) as connection:
        connection.execute("drop table inbox")

    migrate("conversations", database.owner)

    # Made for the second time: the first try left nothing behind.
    assert _incarnation(database).version == 7


@pytest.mark.parametrize("service", services_with_migrations())
def test_a_database_that_is_down_is_one_sentence_that_says_what_to_do(service):
    nobody = "postgresql://owner:a-password@127.0.0.1:1/clinic"
    variable = f"{service.upper()}_OWNER_DATABASE_URL"

    ended = subprocess.run(
        (sys.executable, "-m", f"services.{service}", "migrate"),
        env=os.environ | {variable: nobody},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Not migrated: the database is out of reach (")
    assert ended.stderr.endswith(f"; start it, or correct {variable}, and migrate again.\n")
    assert ended.stderr.count("\n") == 1
    assert "a-password" not in ended.stderr


def test_each_database_has_an_incarnation_of_its_own(postgres, service_databases):
    database = postgres.database("conversations", label="another")
    migrate("conversations", database.owner)

    assert _incarnation(database) != _incarnation(service_databases("conversations"))


def _incarnation(database):
    with psycopg.connect(database.superuser) as connection:
        ((incarnation,),) = connection.execute("select incarnation from outbox_head").fetchall()
        return incarnation
