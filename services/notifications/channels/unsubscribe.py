"""Sealed tokens of one-click unsubscribes: who is to be unticked, and because of which mail."""

import base64
import binascii
from uuid import UUID

from cryptography.exceptions import InvalidTag

from services.chassis.keys import derive, open_sealed, seal
from services.notifications.domain.mail import Contents

_PURPOSE = b"unsubscribe"
_ID_BYTES = 16


class TokenInvalid(Exception):
    """Not a token that we made."""


class UnsubscribeTokens:
    """A token does this one thing, for one person, and holds up as long as the mail does."""

    def __init__(self, sealing_key: bytes) -> None:
        self._key = derive(sealing_key, "unsubscribe tokens 1")

    def seal(self, contents: Contents) -> str:
        ids = (contents.clinic_id, contents.recipient.id, contents.dispatch_id)
        sealed = seal(self._key, b"".join(id.bytes for id in ids), _PURPOSE)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, token: str) -> tuple[UUID, UUID, UUID]:
        """The clinic, the staff member and the dispatch. Raises TokenInvalid."""
        try:
            sealed = base64.b64decode(
                token + "=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
            ids = open_sealed(self._key, sealed, _PURPOSE)
            clinic, staff, dispatch = (
                UUID(bytes=ids[start : start + _ID_BYTES]) for start in (0, 16, 32)
            )
        except (binascii.Error, ValueError, InvalidTag):
            raise TokenInvalid from None
        return clinic, staff, dispatch
