"""Settings come from the environment, once, at the start; what is wrong is told all at once."""

import base64
import binascii
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import timedelta
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

T = TypeVar("T")
S = TypeVar("S")
Check = Callable[[T], bool]


class RefusedToStart(Exception):
    """Why the process does not start: one sentence for whoever started it."""


class SettingsError(RefusedToStart):
    """Variables are missing or malformed; the text names each and says what it wants."""


class Secret:
    """Text that no repr, log or error shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@overload
def setting(*, help: str, default: T, name: str = "", check: Check[T] | None = None) -> T: ...
@overload
def setting(*, help: str, name: str = "", check: Check[T] | None = None) -> T: ...
def setting(
    *, help: str, default: object = MISSING, name: str = "", check: Check[T] | None = None
) -> object:
    """A field of a settings dataclass: what it means, and its variable if not the field's name.

    Without a default the variable is required. A value that fails `check` is malformed.
    """
    metadata = {"help": help, "name": name, "check": check or _anything}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable, for reading and for docs/operations.md."""

    name: str
    type: str
    default: str | None
    help: str
    secret: bool


def load(cls: type[S], prefix: str, environ: Mapping[str, str]) -> S:
    """The settings of this process. Raises SettingsError that tells all that has to be set."""
    problems: list[str] = []
    loaded = _load(cls, prefix, environ, problems)
    if loaded is None or problems:
        raise SettingsError("Settings are wrong:\n" + "\n".join(f"  {p}" for p in problems))
    return loaded


def describe(cls: type[object], prefix: str) -> Iterator[Variable]:
    """Every variable that `load` reads, in the order of the fields."""
    for each in _fields(cls, prefix):
        if is_dataclass(each.kind):
            yield from describe(each.kind, prefix)
        else:
            yield each.variable


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    kind: type[object]
    default: object
    check: Callable[[object], bool]
    variable: Variable


def _fields(cls: type[object], prefix: str) -> Iterator[_Field]:
    if not is_dataclass(cls):
        raise TypeError(f"settings are read into dataclasses, not {cls.__name__}")
    hints = get_type_hints(cls)
    for each in fields(cls):
        kind, optional = _unwrap(hints[each.name])
        default = None if optional and each.default is MISSING else each.default
        variable = Variable(
            name=prefix + (each.metadata.get("name") or each.name.upper()),
            type=_TYPES[kind][0] if kind in _TYPES else "",
            default=None if default is MISSING else _as_text(default),
            help=each.metadata.get("help", ""),
            secret=kind is Secret,
        )
        yield _Field(each.name, kind, default, each.metadata.get("check", _anything), variable)


def _unwrap(hint: object) -> tuple[type[object], bool]:
    """The type of a field, and whether None is allowed."""
    kinds = [hint]
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    kind = get_origin(kinds[0]) or kinds[0]
    if len(kinds) != 1 or not isinstance(kind, type):
        raise TypeError(f"a setting cannot be of type {hint}")
    return kind, kinds[0] is not hint


def _load(cls: type[S], prefix: str, environ: Mapping[str, str], problems: list[str]) -> S | None:
    before = len(problems)
    values: dict[str, object] = {}
    for each in _fields(cls, prefix):
        if is_dataclass(each.kind):
            values[each.name] = _load(each.kind, prefix, environ, problems)
        else:
            values[each.name] = _read(each, environ, problems)
    if len(problems) > before:
        return None
    try:
        return cls(**values)
    except ValueError as error:
        problems.extend(f"{prefix}{sentence}" for sentence in error.args)
        return None


def _read(each: _Field, environ: Mapping[str, str], problems: list[str]) -> object:
    variable = each.variable
    text = environ.get(variable.name, "").strip()
    if not text:
        if each.default is MISSING:
            problems.append(f"{variable.name} is missing: {variable.help} ({variable.type})")
        return each.default
    try:
        value = _TYPES[each.kind][1](text)
        if each.check(value):
            return value
    except ValueError:
        pass
    # The value may be a secret in the wrong variable, so it is not repeated.
    problems.append(f"{variable.name} is malformed: {variable.help} ({variable.type})")
    return None


def _anything(value: object) -> bool:
    return True


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise ValueError
    return lowered == "true"


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(",") if (word := part.strip()))


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=_number(text))


_TYPES: dict[type[object], tuple[str, Callable[[str], object]]] = {
    str: ("text", str),
    int: ("whole number", int),
    float: ("number", _number),
    bool: ("true or false", _boolean),
    Path: ("path", Path),
    timedelta: ("seconds", _seconds),
    tuple: ("comma-separated", _words),
    Secret: ("secret", Secret),
}


def _as_text(default: object) -> str:
    """The default as one would write it into the environment."""
    if isinstance(default, timedelta):
        return f"{default.total_seconds():g}"
    if isinstance(default, tuple):
        return ",".join(default)
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None else str(default)


LOG_LEVELS = frozenset({"debug", "info", "warning", "error"})
LOG_FORMATS = frozenset({"json", "console"})


def _at_least_one(number: int) -> bool:
    return number >= 1


def _is_key(secret: Secret) -> bool:
    try:
        return len(base64.b64decode(secret.reveal(), validate=True)) == 32
    except binascii.Error:
        return False


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates of one process; with an authority, both sides prove who they are."""

    certificate: Path
    key: Path
    authority: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChassisSettings:
    """What every service needs to be told."""

    database_url: Secret = setting(help="where the app role finds the database")
    worker_database_url: Secret = setting(help="where the worker role finds the database")
    owner_database_url: Secret | None = setting(
        help="where the owner role finds the database; only migrate needs it", default=None
    )
    pool_size: int = setting(
        help="connections of a process's pool; its lines come on top",
        default=10,
        check=_at_least_one,
    )
    nats_url: Secret = setting(help="where NATS is")
    nats_replicas: int = setting(
        help="copies of a stream: 1, or 3 in a cluster", default=1, check=_at_least_one
    )
    listen: str = setting(help="host:port of the public gRPC services")
    internal_listen: str = setting(help="host:port of the internal gRPC services")
    http_listen: str = setting(help="host:port of /metrics, /livez and /readyz")
    token_issuer: str = setting(help="the issuer that persons' tokens must name")
    token_audience: str = setting(help="the audience that tokens must name", default="clinic")
    issuer_jwks: Path = setting(help="public keys of the issuer of persons' tokens")
    callers_jwks: Path = setting(help="public keys of the services, platform systems and ops")
    signing_key: Path = setting(help="this service's own private key, a JWK")
    sealing_key: Secret = setting(
        help="base64 of 32 random bytes, which seal page tokens and fingerprints", check=_is_key
    )
    development: bool = setting(
        help="accept development keys; never set in production", default=False
    )
    log_level: str = setting(
        help="debug, info, warning or error", default="info", check=LOG_LEVELS.__contains__
    )
    log_format: str = setting(
        help="json or console", default="json", check=LOG_FORMATS.__contains__
    )
    tls_certificate: Path | None = setting(help="this process's certificate", default=None)
    tls_key: Path | None = setting(help="the certificate's private key", default=None)
    tls_authority: Path | None = setting(
        help="the authority of the other side's certificate; turns on mutual TLS", default=None
    )

    def __post_init__(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("TLS_CERTIFICATE and TLS_KEY go together")
        if self.tls_authority is not None and self.tls_certificate is None:
            raise ValueError("TLS_AUTHORITY needs TLS_CERTIFICATE and TLS_KEY")

    @property
    def sealing_bytes(self) -> bytes:
        """The sealing key; never used as it is, only to derive keys from."""
        return base64.b64decode(self.sealing_key.reveal())

    @property
    def tls(self) -> Tls | None:
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return Tls(self.tls_certificate, self.tls_key, self.tls_authority)
