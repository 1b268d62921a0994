"""Public keys in a JWKS file, read again when it changes, so that rotation needs no restart."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from services.chassis.logs import get_logger
from services.chassis.settings import RefusedToStart

log = get_logger()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, and the only algorithms that it may verify."""

    key: OKPKey | ECKey
    algorithms: tuple[str, ...]


Keys = Mapping[str, tuple[PublicKey, ...]]


class KeyFile:
    """The keys of one JWKS by `kid`; a kid may have several while it is rotated.

    At the start a file that is not right raises RefusedToStart; later it is logged and the keys
    read before stay.
    """

    def __init__(
        self, path: Path, *, development: bool, name: re.Pattern[str] | None = None
    ) -> None:
        self._path = path
        self._development = development
        self._name = name
        self._stamp = self._stamp_now()
        self._keys = self._read()

    def of(self, kid: object) -> tuple[PublicKey, ...]:
        return self._keys.get(kid, ()) if isinstance(kid, str) else ()

    def refresh(self) -> bool:
        """Look at the file; whether its keys are other ones now."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._keys = self._read()
        except RefusedToStart as refused:
            log.error("keys_not_read", keys=self._path.name, exc_info=refused)
            return False
        log.info("keys_read", count=len(self._keys))
        return True

    def _stamp_now(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_ino, found.st_size)

    def _read(self) -> Keys:
        keys: dict[str, tuple[PublicKey, ...]] = {}
        for member in self._members():
            kid = member.get("kid")
            if not isinstance(kid, str) or not kid:
                raise RefusedToStart(f"{self._path} holds a key without kid")
            if self._name is not None and not self._name.fullmatch(kid):
                raise RefusedToStart(f"{self._path} holds a key whose kid names no machine")
            keys[kid] = (*keys.get(kid, ()), self._key(member))
        if not keys:
            raise RefusedToStart(f"{self._path} holds no keys, so that nobody could call")
        return keys

    def _members(self) -> list[dict[str, object]]:
        try:
            members = json.loads(self._path.read_bytes())["keys"]
            return [dict(member) for member in members]
        except OSError as error:
            raise RefusedToStart(f"{self._path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise RefusedToStart(f"{self._path} is not a JWKS") from error

    def _key(self, member: dict[str, object]) -> PublicKey:
        if "d" in member:
            raise RefusedToStart(f"{self._path} holds a private key; it is for public ones")
        if member.pop("development", False) and not self._development:
            raise RefusedToStart(f"{self._path} holds a development key; set production keys")
        try:
            return _public_key(member)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise RefusedToStart(f"{self._path} holds a key that is not right") from error


def _public_key(member: dict[str, object]) -> PublicKey:
    texts: dict[str, str | list[str]] = {
        name: value for name, value in member.items() if isinstance(value, str)
    }
    match texts["kty"], texts["crv"]:
        case "OKP", "Ed25519":
            return PublicKey(OKPKey.import_key(texts), ("EdDSA", "Ed25519"))
        case "EC", "P-256":
            return PublicKey(ECKey.import_key(texts), ("ES256",))
    raise ValueError("neither Ed25519 nor P-256")
