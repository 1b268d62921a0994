"""The PostgreSQL of a test run, and databases in it as the services know them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import Connection, sql

from deploy.local.databases import ROLES, Database, provide
from deploy.local.ports import HOST
from services.chassis.schema import migrate
from tests.support import locks

# Rows that a migration put there, kept so that empty() can put them back.
_PRISTINE = "pristine"


@dataclass(frozen=True, slots=True)
class ServiceDatabase:
    """A database of a test worker, and how each role reaches it. Tests use app and worker."""

    owner: str
    app: str
    worker: str
    superuser: str

    def empty(self) -> None:
        """Back to what the migrations left; fails if a transaction is still open."""
        with psycopg.connect(self.superuser) as connection:
            connection.execute("set lock_timeout = '5s'")
            _truncate(connection)
            for table in _tables(connection, _PRISTINE):
                _restore(connection, table)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """The one server of the run, as one worker sees it."""

    port: int
    password: str = field(repr=False)
    run: Path
    worker: str

    def superuser(self, database: str = "postgres") -> str:
        return f"postgresql://postgres:{self.password}@{HOST}:{self.port}/{database}"

    def database(self, service: str, *, label: str = "") -> ServiceDatabase:
        """An empty database with the three roles of a service, which need not exist."""
        return self._provide(service, _name(service, "empty", self.worker, label), "template0")

    def clone(self, service: str, *, label: str = "") -> ServiceDatabase:
        """A database of a service as its migrations make it; one for each label."""
        with locks.exclusive(self.run / f"template-{service}"):
            template = self._template(service)
        return self._provide(service, _name(service, self.worker, label), template)

    def _template(self, service: str) -> str:
        name = f"{service}_template"
        done = self.run / f"{service}-migrated"
        if not done.exists():
            migrate(service, self._provide(service, name, "template0").owner)
            with psycopg.connect(self.superuser(name)) as connection:
                _remember(connection)
            done.touch()
        return name

    def _provide(self, service: str, name: str, template: str) -> ServiceDatabase:
        database = Database(service, name, self.port, dict.fromkeys(ROLES, self.password))
        # Roles belong to the whole server, and it refuses to have one altered twice at once.
        with (
            locks.exclusive(self.run / "roles"),
            psycopg.connect(self.superuser(), autocommit=True) as connection,
        ):
            provide(connection, database, template=template)
        return ServiceDatabase(
            database.owner, database.app, database.worker, self.superuser(database.name)
        )


@contextmanager
def shared_server(run: Path, worker: str) -> Iterator[PostgresServer]:
    """The server of the run, started by whoever needs it first; `run` is the workers' directory."""
    with ExitStack() as held:
        with locks.exclusive(run / "start"):
            held.enter_context(locks.shared(run / "users"))
            if not (run / "server.json").exists():
                _start_keeper(run)
            address = json.loads((run / "server.json").read_text())
        yield PostgresServer(address["port"], address["password"], run, worker)


def _start_keeper(run: Path) -> None:
    command = (sys.executable, "-m", "tests.support.postgres_keeper", str(run))
    with (run / "keeper.log").open("ab") as log:
        keeper = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
    assert keeper.stdout is not None
    with keeper.stdout as words:
        if words.readline() != b"ready\n":
            raise RuntimeError(f"PostgreSQL did not start:\n{(run / 'keeper.log').read_text()}")


def _name(*words: str) -> str:
    return "_".join(word for word in words if word)


def _remember(connection: Connection) -> None:
    connection.execute(sql.SQL("create schema {}").format(sql.Identifier(_PRISTINE)))
    for table in _tables(connection, "public"):
        copy = "create table {}.{} as table public.{}"
        names = [sql.Identifier(name) for name in (_PRISTINE, table, table)]
        connection.execute(sql.SQL(copy).format(*names))
        found = connection.execute(sql.SQL("select from {}.{}").format(*names[:2])).fetchone()
        if found is None:
            connection.execute(sql.SQL("drop table {}.{}").format(*names[:2]))


def _truncate(connection: Connection) -> None:
    tables = [sql.Identifier("public", table) for table in _tables(connection, "public")]
    if tables:
        statement = sql.SQL("truncate {} restart identity").format(sql.SQL(", ").join(tables))
        connection.execute(statement)


def _restore(connection: Connection, table: str) -> None:
    query = """
        select attname from pg_attribute
        where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = ''
    """
    columns = connection.execute(query, [f'public."{table}"']).fetchall()
    listed = sql.SQL(", ").join(sql.Identifier(name) for (name,) in columns)
    insert = "insert into public.{} ({}) overriding system value select {} from {}.{}"
    connection.execute(
        sql.SQL(insert).format(
            sql.Identifier(table), listed, listed, sql.Identifier(_PRISTINE), sql.Identifier(table)
        )
    )


def _tables(connection: Connection, schema: str) -> list[str]:
    query = """
        select relname from pg_class
        where relnamespace = to_regnamespace(%s) and relkind in ('r', 'p') and not relispartition
    """
    return [name for (name,) in connection.execute(query, [schema]).fetchall()]
