"""Data keys, one a clinic and version, wrapped by a master key (design section 8).

AES-256-GCM throughout, with 96-bit random nonces in front of the ciphertext. The associated data
say where a ciphertext belongs, so that one moved elsewhere does not decrypt (P22).
"""

import base64
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import audit, requests
from services.chassis.clock import Clock
from services.chassis.database import Database, scope
from services.chassis.errors import Unavailable
from services.chassis.identity import Caller
from services.chassis.settings import RefusedToStart

_NONCE_BYTES = 12
_KEY_BYTES = 32
_NEWEST_FOR = timedelta(minutes=1)
_AT_ONCE = 500


class WrongMasterKey(RefusedToStart):
    """The master key is absent, malformed, or does not open the keys that are stored."""


class KeyProvider(Protocol):
    """Wraps and unwraps data keys; a key management service fits behind it."""

    def wrap(self, key: bytes, associated: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes, associated: bytes) -> bytes:
        """Raises WrongMasterKey where this provider did not wrap it."""
        ...

    def is_current(self, wrapped: bytes, associated: bytes) -> bool:
        """Whether `wrap` would wrap it with the same master key; false asks for a re-wrap."""
        ...


def seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated)


def open_sealed(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Raises cryptography's InvalidTag where the key or the place is another."""
    return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated)


def derive(secret: bytes, purpose: str) -> bytes:
    """A 32-byte key for one purpose (HKDF, RFC 5869)."""
    kdf = HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=purpose.encode())
    return kdf.derive(secret)


def decode_key(text_form: str, *, name: str) -> bytes:
    """32 bytes from their base64 form; WrongMasterKey names what is malformed."""
    try:
        key = base64.b64decode(text_form.strip(), validate=True)
    except ValueError:  # binascii's Error is one, and so is a character beyond ASCII
        key = b""
    if len(key) != _KEY_BYTES:
        raise WrongMasterKey(f"{name} must be 32 bytes in base64")
    return key


class FileKeyProvider:
    """A master key in a file: for one machine, and for development.

    `other` opens too, and wraps nothing: the key before or after this one, while it is replaced.
    """

    def __init__(self, path: Path, *, other: Path | None = None) -> None:
        self._key = _read_master_key(path)
        self._others = [] if other is None else [_read_master_key(other)]

    def wrap(self, key: bytes, associated: bytes) -> bytes:
        return seal(self._key, key, associated)

    def unwrap(self, wrapped: bytes, associated: bytes) -> bytes:
        for master_key in (self._key, *self._others):
            with suppress(InvalidTag):
                return open_sealed(master_key, wrapped, associated)
        raise WrongMasterKey("the master key does not open the stored data keys")

    def is_current(self, wrapped: bytes, associated: bytes) -> bool:
        with suppress(InvalidTag):
            return bool(open_sealed(self._key, wrapped, associated))
        return False


def _read_master_key(path: Path) -> bytes:
    try:
        text_form = path.read_text(errors="replace")
    except FileNotFoundError:
        raise WrongMasterKey(
            f"there is no master key at {path}; restore the file, for a new one cannot open"
            " what the old one sealed"
        ) from None
    except OSError as error:
        raise WrongMasterKey(
            f"the master key at {path} cannot be read: {error.strerror}"
        ) from error
    return decode_key(text_form, name=f"the master key at {path}")


@dataclass(frozen=True, slots=True)
class DataKey:
    version: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class _Stored:
    clinic_id: UUID
    version: int
    wrapped: bytes

    @property
    def place(self) -> bytes:
        return _place(self.clinic_id, self.version)


_FIRST = (UUID(int=0), 0)


_CURRENT = text("""
select version, wrapped from data_keys where clinic_id = :clinic_id order by version desc limit 1
""")
_ONE = text("select wrapped from data_keys where clinic_id = :clinic_id and version = :version")
_INSERT = text("""
insert into data_keys (clinic_id, version, wrapped) values (:clinic_id, :version, :wrapped)
on conflict do nothing
""")
# Not where somebody else has wrapped it anew meanwhile.
_REWRAP = text("""
update data_keys set wrapped = :wrapped
where clinic_id = :clinic_id and version = :version and wrapped = :before
""")
_NEXT = text("""
select clinic_id, version, wrapped from data_keys
where (clinic_id, version) > (:clinic_id, :version) order by clinic_id, version limit :most
""")
_ALL = text("select version, wrapped from data_keys where clinic_id = :clinic_id")
_LOCK = text("select pg_advisory_xact_lock(hashtextextended('keys ' || :clinic_id, 0))")


class DataKeys:
    """The data keys of a service's database; opened ones are kept, for they never change.

    Makes no key before `check` has found that the master key is the one of the keys that are there.
    """

    def __init__(self, provider: KeyProvider, database: Database, clock: Clock) -> None:
        self._provider = provider
        self._database = database
        self._clock = clock
        self._opened: dict[tuple[UUID, int], bytes] = {}
        self._current: dict[UUID, tuple[datetime, DataKey]] = {}
        self._checked = _FIRST
        self._master_key_fits = False

    async def current(self, clinic_id: UUID) -> DataKey:
        """The clinic's newest key, at most a minute old; made at its first use.

        Outside any transaction of the caller's: a key is used only once its row is committed.
        """
        known = self._current.get(clinic_id)
        if known is None or known[0] < self._clock():
            key = await self._database.transact(
                lambda connection, _: self._newest(connection, clinic_id), clinics=[clinic_id]
            )
            known = self._current[clinic_id] = (self._clock() + _NEWEST_FOR, key)
        return known[1]

    async def _newest(self, connection: AsyncConnection, clinic_id: UUID) -> DataKey:
        parameters = {"clinic_id": clinic_id}
        row = (await connection.execute(_CURRENT, parameters)).one_or_none()
        if row is None:
            # Two at once agree on one: the second sees the first's after its commit.
            await self._make(connection, clinic_id, version=1)
            row = (await connection.execute(_CURRENT, parameters)).one()
        secret = self._provider.unwrap(bytes(row.wrapped), _place(clinic_id, row.version))
        return DataKey(row.version, secret)

    async def _make(self, connection: AsyncConnection, clinic_id: UUID, *, version: int) -> None:
        if not self._master_key_fits:
            raise Unavailable("The master key is not checked yet; repeat the call")
        wrapped = self._provider.wrap(os.urandom(_KEY_BYTES), _place(clinic_id, version))
        key = {"clinic_id": clinic_id, "version": version, "wrapped": wrapped}
        await connection.execute(_INSERT, key)

    async def rotate(self, caller: Caller, request_id: UUID) -> int:
        """Make a new version of the clinic's key and wrap its older ones anew; the new version.

        What older versions sealed stays readable. A repeat makes no further version. Audited.
        """
        return await self._database.transact(
            lambda connection, _: self._rotate(connection, caller, request_id),
            clinics=[caller.clinic],
        )

    async def _rotate(self, connection: AsyncConnection, caller: Caller, request_id: UUID) -> int:
        clinic_id = caller.clinic
        await connection.execute(_LOCK, {"clinic_id": str(clinic_id)})
        rows = (await connection.execute(_ALL, {"clinic_id": clinic_id})).all()
        version = max((row.version for row in rows), default=0) + 1
        earlier = await requests.claim(
            connection,
            caller,
            request_id,
            method="RotateKeys",
            content=str(clinic_id),
            result_id=UUID(int=version),
        )
        if earlier is not None:
            return earlier.int
        for row in rows:
            await self._rewrap(connection, _Stored(clinic_id, row.version, bytes(row.wrapped)))
        await self._make(connection, clinic_id, version=version)
        record = audit.Record(action="rotate_keys", object_type="clinic", object_id=clinic_id)
        await audit.add(connection, caller, clinic_id, record)
        return version

    async def get(self, clinic_id: UUID, version: int) -> bytes:
        """The key of this version, which something stored was sealed with."""
        opened = self._opened.get((clinic_id, version))
        if opened is not None:
            return opened
        one = _ONE, {"clinic_id": clinic_id, "version": version}
        _, [row] = await self._database.exchange(scope([clinic_id]), one)
        return self._open(clinic_id, version, row.wrapped)

    def _open(self, clinic_id: UUID, version: int, wrapped: bytes) -> bytes:
        place = (clinic_id, version)
        if place not in self._opened:
            self._opened[place] = self._provider.unwrap(bytes(wrapped), _place(*place))
        return self._opened[place]

    async def check(self, worker: Database) -> None:
        """Raises WrongMasterKey where a stored key was wrapped by another master key.

        A check that was cut short goes on from where it was.
        """
        while stored := await _after(worker, self._checked):
            for each in stored:
                self._provider.unwrap(each.wrapped, each.place)
            self._checked = (stored[-1].clinic_id, stored[-1].version)
        self._master_key_fits = True

    async def rewrap(self, worker: Database) -> int:
        """Wrap every clinic's stored keys with the current master key; how many were not.

        The keys stay what they are. Safe at once with rotations, and in several processes.
        """
        count, at = 0, _FIRST
        while stored := await _after(worker, at):
            for each in stored:
                if not self._provider.is_current(each.wrapped, each.place):
                    count += await worker.connect(partial(self._rewrap, stored=each))
            at = (stored[-1].clinic_id, stored[-1].version)
        return count

    async def _rewrap(self, connection: AsyncConnection, stored: _Stored) -> int:
        secret = self._provider.unwrap(stored.wrapped, stored.place)
        changed = {
            "clinic_id": stored.clinic_id,
            "version": stored.version,
            "before": stored.wrapped,
            "wrapped": self._provider.wrap(secret, stored.place),
        }
        return (await connection.execute(_REWRAP, changed)).rowcount


async def _after(worker: Database, at: tuple[UUID, int]) -> Sequence[_Stored]:
    """The next keys of all clinics, in order."""
    parameters = {"clinic_id": at[0], "version": at[1], "most": _AT_ONCE}
    rows = await worker.connect(lambda connection: connection.execute(_NEXT, parameters))
    return [_Stored(row.clinic_id, row.version, bytes(row.wrapped)) for row in rows]


def _place(clinic_id: UUID, version: int) -> bytes:
    return f"data key {clinic_id} {version}".encode()
