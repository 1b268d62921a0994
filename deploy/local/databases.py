"""The databases of the services: each has an owner, an app and a worker role."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_hex

from psycopg import Connection, sql

from deploy.local.ports import HOST

ROLES = ("owner", "app", "worker")

_CREATE_ROLE = sql.SQL(
    "create role {} login nosuperuser nocreatedb nocreaterole nobypassrls password {}"
)
_ALTER_ROLE = sql.SQL("alter role {} password {}")
_CREATE_DATABASE = (
    sql.SQL("create database {name} owner {owner} template {template}"),
    sql.SQL("revoke all on database {name} from public"),
    sql.SQL("grant connect on database {name} to {app}, {worker}"),
)


@dataclass(frozen=True, slots=True)
class Database:
    """A database and how each role of its service reaches it."""

    service: str
    name: str
    port: int
    passwords: Mapping[str, str] = field(repr=False)

    @property
    def owner(self) -> str:
        return self._url("owner")

    @property
    def app(self) -> str:
        return self._url("app")

    @property
    def worker(self) -> str:
        return self._url("worker")

    def _url(self, role: str) -> str:
        return (
            f"postgresql://{self.service}_{role}:{self.passwords[role]}"
            f"@{HOST}:{self.port}/{self.name}"
        )


def new_passwords() -> dict[str, str]:
    return {role: token_hex(16) for role in ROLES}


def provide(superuser: Connection, database: Database, *, template: str = "template0") -> None:
    """Make the roles and the database where they are missing; the passwords are set anew.

    The connection has to be in autocommit mode, because `create database` asks for it.
    """
    for role in ROLES:
        _provide_role(superuser, f"{database.service}_{role}", database.passwords[role])
    query = "select from pg_database where datname = %s"
    if superuser.execute(query, [database.name]).fetchone() is None:
        _create(superuser, database, template)


def _provide_role(superuser: Connection, role: str, password: str) -> None:
    found = superuser.execute("select from pg_roles where rolname = %s", [role]).fetchone()
    statement = _CREATE_ROLE if found is None else _ALTER_ROLE
    superuser.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


def _create(superuser: Connection, database: Database, template: str) -> None:
    names = {
        "name": sql.Identifier(database.name),
        "template": sql.Identifier(template),
        "owner": sql.Identifier(f"{database.service}_owner"),
        "app": sql.Identifier(f"{database.service}_app"),
        "worker": sql.Identifier(f"{database.service}_worker"),
    }
    for statement in _CREATE_DATABASE:
        superuser.execute(statement.format(**names))
