"""Where a mail that cannot be delivered comes back to: an address that names its dispatch and that
nobody else can make (VERP)."""

import base64
import binascii
import hashlib
import hmac
from uuid import UUID

from services.chassis.keys import derive

_LOCAL_PART = "bounce+"
_PROOF_BYTES = 10


class NotOurs(Exception):
    """Not an address that we made."""


class ReturnPaths:
    """Addresses of `domain`. Their letters may change case on the way."""

    def __init__(self, sealing_key: bytes, *, domain: str) -> None:
        self._key = derive(sealing_key, "return paths 1")
        self._domain = domain.lower()

    def of(self, dispatch_id: UUID) -> str:
        id = _letters(dispatch_id.bytes)
        return f"{_LOCAL_PART}{id}.{_letters(self._proof(dispatch_id))}@{self._domain}"

    def dispatch_of(self, address: str) -> UUID:
        """Which dispatch came back. Raises NotOurs."""
        local, _, domain = address.lower().rpartition("@")
        id, _, proof = local.removeprefix(_LOCAL_PART).partition(".")
        if not local.startswith(_LOCAL_PART) or domain != self._domain:
            raise NotOurs
        try:
            dispatch_id = UUID(bytes=_bytes(id))
            genuine = hmac.compare_digest(_bytes(proof), self._proof(dispatch_id))
        except (binascii.Error, ValueError):
            raise NotOurs from None
        if not genuine:
            raise NotOurs
        return dispatch_id

    def _proof(self, dispatch_id: UUID) -> bytes:
        return hmac.digest(self._key, dispatch_id.bytes, hashlib.sha256)[:_PROOF_BYTES]


def _letters(content: bytes) -> str:
    return base64.b32encode(content).decode().rstrip("=").lower()


def _bytes(letters: str) -> bytes:
    return base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))
