"""Bodies at rest: sealed under the clinic's data key, bound to their place (design section 8)."""

import hashlib
import hmac
from uuid import UUID

from services.chassis.keys import DataKey, DataKeys, derive, open_sealed, seal
from services.conversations.domain.message import Message
from services.messaging_rule import Side


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

    def seal(self, key: DataKey, message: Message, body: str) -> bytes:
        return seal(key.secret, body.encode(), _place(message, key.version))

    async def open(self, message: Message, *, key_version: int, sealed: bytes) -> str:
        """The body of a message; raises InvalidTag where the ciphertext belongs elsewhere."""
        secret = await self._keys.get(message.clinic_id, key_version)
        return open_sealed(secret, sealed, _place(message, key_version)).decode()


def _place(message: Message, key_version: int) -> bytes:
    parts = (message.clinic_id, message.conversation_id, message.sequence, message.sender_side)
    return f"body {' '.join(map(str, parts))} {key_version}".encode()
