"""Bodies at rest: sealed under the clinic's data key, bound to their place (design section 8)."""

import hashlib
import hmac
from typing import NamedTuple
from uuid import UUID

from services.chassis.keys import DataKey, DataKeys, derive, open_sealed, seal
from services.conversations.domain.message import Message
from services.messaging_rule import Side


class Place(NamedTuple):
    """Where a message stands: its text opens there and nowhere else."""

    clinic_id: UUID
    conversation_id: UUID
    sequence: int
    sender_side: Side

    @classmethod
    def of(cls, message: Message) -> "Place":
        return cls(
            message.clinic_id, message.conversation_id, message.sequence, message.sender_side
        )


class Texts:
    """Seals and opens the bodies of messages, and prints what a repeat is compared with."""

    def __init__(self, keys: DataKeys, sealing_key: bytes) -> None:
        self._keys = keys
        self._print_key = derive(sealing_key, "message fingerprints")

    async def current_key(self, clinic_id: UUID) -> DataKey:
        return await self._keys.current(clinic_id)

    def fingerprint(self, conversation_id: UUID, side: Side, body: str) -> bytes:
        """A keyed hash: tells a repeat from a reuse, and tells nobody the text."""
        content = f"{conversation_id} {side} {body}".encode()
        return hmac.new(self._print_key, content, hashlib.sha256).digest()

    def seal(self, key: DataKey, place: Place, body: str) -> bytes:
        return seal(key.secret, body.encode(), _bound(place, key.version))

    async def open(self, place: Place, *, key_version: int, sealed: bytes) -> str:
        """The body of a message; raises InvalidTag where the ciphertext belongs elsewhere."""
        secret = await self._keys.get(place.clinic_id, key_version)
        return open_sealed(secret, sealed, _bound(place, key_version)).decode()


def _bound(place: Place, key_version: int) -> bytes:
    return f"body {' '.join(map(str, place))} {key_version}".encode()
