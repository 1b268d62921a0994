import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege


def test_a_clone_has_what_the_migrations_made_and_the_rights_they_gave(service_databases):
    database = service_databases("conversations")

    with psycopg.connect(database.app) as connection:
        connection.execute("select from conversations")
    with psycopg.connect(database.app) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute("create table mine ()")


def test_an_emptied_clone_keeps_the_rows_that_the_migrations_wrote(postgres):
    database = postgres.clone("conversations", label="emptied")
    with psycopg.connect(database.superuser) as connection:
        head = connection.execute("select outbox_head::text from outbox_head").fetchall()
        connection.execute("update outbox_head set last_position = 7")

    database.empty()

    with psycopg.connect(database.superuser) as connection:
        assert connection.execute("select outbox_head::text from outbox_head").fetchall() == head
        assert connection.execute("select count(*) from alembic_version").fetchone() == (1,)


def test_a_database_may_be_made_for_a_service_that_does_not_exist(postgres):
    database = postgres.database("nobodys")

    with psycopg.connect(database.owner) as connection:
        connection.execute("create table things (id int)")
        connection.execute("grant select on things to nobodys_app")
    with psycopg.connect(database.app) as connection:
        assert connection.execute("select * from things").fetchall() == []


def test_no_role_of_a_service_is_a_superuser_or_passes_row_level_security(postgres):
    database = postgres.database("nobodys")

    for url in (database.owner, database.app, database.worker):
        with psycopg.connect(url) as connection:
            query = "select rolsuper, rolbypassrls from pg_roles where rolname = current_user"
            assert connection.execute(query).fetchone() == (False, False)
