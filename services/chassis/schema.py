"""What the migrations of all services share: the chassis's tables, row-level security, grants.

Three roles a database (design section 7): `<service>_owner` migrates; `<service>_app` serves and
sees the clinics named in `app.clinics`, none where none is named; `<service>_worker` sees all
clinics of the tables it is given. None is a superuser, none bypasses row-level security.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from alembic import command, context, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from services.chassis.database import sqlstate
from services.chassis.ids import uuid7

# How a SQLSTATE begins where the connection failed, or the server is stopping or starting.
_OUT_OF_REACH = ("08", "57P")
_CONNECT_SECONDS = 10
_MIGRATION_LOCK = 7_421_001

# A scalar sub-select, so that it is computed once a statement and not once a row; the second cast
# changes nothing but that Postgres reads an array there, and not a set of rows.
# In a coalesce the planner sees neither a way to find rows nor how few they are: every query names
# its clinic itself, and one that was counted twice seemed to hold a single row, so that plans made
# while tables were small read whole clinics ever after.
_VISIBLE = (
    "coalesce(clinic_id = any ((select string_to_array("
    "nullif(current_setting('app.clinics', true), ''), ',')::uuid[])::uuid[]), false)"
)


class DatabaseOutOfReach(Exception):
    """The message is what the driver says of it, on one line."""


def migrate(service: str, url: str) -> None:
    """Bring the database of a service to the newest schema; safe to run twice, or at once.

    Raises DatabaseOutOfReach, also where it goes away meanwhile; then nothing has changed.
    """
    try:
        command.upgrade(_config(service, url), "head")
    except OperationalError as error:
        state = sqlstate(error)
        if state is None or state.startswith(_OUT_OF_REACH):
            raise DatabaseOutOfReach(str(error.orig).partition("\n")[0]) from error
        raise


def undo_migrations(service: str, url: str) -> None:
    """Back to an empty database; for tests of the migrations, never for data that matters."""
    command.downgrade(_config(service, url), "base")


def newest_revision(service: str) -> str:
    head = ScriptDirectory.from_config(_config(service, "")).get_current_head()
    assert head is not None
    return head


def current_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(service: str, url: str) -> Config:
    config = Config()
    folder = Path(__file__).parents[1] / service / "storage" / "migrations"
    config.set_main_option("script_location", str(folder))
    config.attributes["url"] = url
    return config


def run_migrations() -> None:
    """The body of every `env.py`: one at a time, bounded, loud where a policy hides rows."""
    url = make_url(context.config.attributes["url"]).set(drivername="postgresql+psycopg")
    # The lock is the session's: without a pool it ends here, also where a migration fails.
    engine = create_engine(
        url,
        hide_parameters=True,
        poolclass=NullPool,
        connect_args={"connect_timeout": _CONNECT_SECONDS},
    )
    with engine.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
        connection.execute(text("set lock_timeout = '5s'"))
        connection.execute(text("set statement_timeout = '60s'"))
        # Under FORCE a backfill by the owner would see nothing, silently; off makes it an error.
        connection.execute(text("set row_security = off"))
        connection.commit()
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()


def protect(
    service: str, table: str, *, app: Sequence[str] = (), worker: Sequence[str] = ()
) -> None:
    """Row-level security on a table with `clinic_id`, and what the two roles may do there."""
    op.execute(f"alter table {table} enable row level security")
    op.execute(f"alter table {table} force row level security")
    if app:
        op.execute(
            f"create policy {table}_app on {table} to {service}_app"
            f" using ({_VISIBLE}) with check ({_VISIBLE})"
        )
    if worker:
        op.execute(
            f"create policy {table}_worker on {table} to {service}_worker"
            " using (true) with check (true)"
        )
    grant(service, table, app=app, worker=worker)


def renew_policies() -> None:
    """Say of every table that `protect` has protected, as it does now, which rows the app sees."""
    protected = text(
        "select tablename, policyname from pg_policies"
        " where schemaname = 'public' and policyname = tablename || '_app'"
    )
    for table, policy in op.get_bind().execute(protected).all():
        op.execute(f"alter policy {policy} on {table} using ({_VISIBLE}) with check ({_VISIBLE})")


def grant(service: str, table: str, *, app: Sequence[str] = (), worker: Sequence[str] = ()) -> None:
    """What the two roles may do on a table."""
    if app:
        op.execute(f"grant {', '.join(app)} on {table} to {service}_app")
    if worker:
        op.execute(f"grant {', '.join(worker)} on {table} to {service}_worker")


_TABLES = """
create table outbox (
    id bigint generated always as identity primary key,
    position bigint unique,
    event_id uuid not null,
    clinic_id uuid not null,
    kind text not null,
    type text not null,
    aggregate_type text not null,
    aggregate_id uuid not null,
    aggregate_version bigint not null,
    staff_id uuid,
    profile_id uuid,
    payload bytea not null,
    trace text not null,
    created_at timestamptz not null default clock_timestamp()
);
create index outbox_unpositioned_index on outbox (id) where position is null;
create table outbox_head (
    only_row boolean primary key default true check (only_row),
    incarnation uuid not null,
    last_position bigint not null default 0,
    published_position bigint not null default 0,
    relay_owner uuid,
    relay_until timestamptz not null default '-infinity'
);
create table outbox_marks (
    marked_at timestamptz primary key,
    published_position bigint not null
);
create table inbox (
    clinic_id uuid not null,
    consumer text not null,
    event_id uuid not null,
    claimed_at timestamptz not null default clock_timestamp(),
    primary key (clinic_id, consumer, event_id)
);
create index inbox_claimed_at_index on inbox (claimed_at);
create table dead_letters (
    id uuid primary key,
    clinic_id uuid not null,
    consumer text not null,
    source text not null,
    event_id uuid not null,
    kind text not null,
    type text not null,
    aggregate_id uuid not null,
    position bigint not null,
    incarnation text not null,
    payload bytea not null,
    trace text not null,
    error_class text not null,
    attempts integer not null,
    released boolean not null default false,
    occurred_at timestamptz not null,
    created_at timestamptz not null default clock_timestamp(),
    unique (consumer, event_id)
);
create table sweeps (
    source text primary key,
    incarnation text not null,
    position bigint not null
);
create table sweep_tries (
    source text not null,
    event_id uuid not null,
    tries integer not null,
    primary key (source, event_id)
);
create table requests (
    clinic_id uuid not null,
    actor text not null,
    request_id uuid not null,
    method text not null,
    fingerprint bytea not null,
    result_id uuid not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (clinic_id, actor, request_id)
);
create index requests_created_at_index on requests (created_at);
create table audit (
    id bigint generated always as identity primary key,
    clinic_id uuid not null,
    actor text not null,
    action text not null,
    object_type text not null,
    object_id text not null,
    outcome text not null,
    reason text not null,
    recorded_at timestamptz not null default clock_timestamp()
);
create index audit_clinic_id_id_index on audit (clinic_id, id);
"""


def execute_all(statements: str) -> None:
    """Statements that each end a line with a semicolon."""
    for statement in filter(str.strip, statements.split(";\n")):
        op.execute(statement)


def drop_tables(statements: str) -> None:
    """Drop what these `create table` statements made, the last first."""
    for name in reversed(re.findall(r"^create table (\w+)", statements, re.MULTILINE)):
        op.execute(f"drop table {name}")


def drop_chassis_tables() -> None:
    drop_tables(_TABLES)


def create_chassis_tables(service: str) -> None:
    """The tables of outbox, inbox, requests and audit, as they were in the first release."""
    execute_all(_TABLES)
    # A UUIDv7: a later incarnation, made after a restore, sorts behind an earlier one.
    op.execute(f"insert into outbox_head (incarnation) values ('{uuid7()}')")
    protect(service, "outbox", app=["insert"], worker=["select", "insert", "update", "delete"])
    # Readiness compares it with the newest revision of the code.
    grant(service, "alembic_version", worker=["select"])
    grant(service, "outbox_head", app=["select"], worker=["select", "update"])
    grant(service, "outbox_marks", worker=["select", "insert", "delete"])
    protect(service, "inbox", app=["select", "insert"], worker=["select", "insert", "delete"])
    letters = ["select", "insert", "update", "delete"]
    protect(service, "dead_letters", app=["select", "insert"], worker=letters)
    grant(service, "sweeps", worker=letters)
    grant(service, "sweep_tries", worker=letters)
    protect(service, "requests", app=["select", "insert"], worker=["select", "insert", "delete"])
    protect(service, "audit", app=["insert"], worker=["select", "insert"])
