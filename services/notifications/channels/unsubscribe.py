"""Sealed tokens of one-click unsubscribes: who is to be unticked, and because of which mail."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cryptography.exceptions import InvalidTag

from services.chassis.keys import derive, open_sealed, seal
from services.notifications.domain.mail import Contents

_PURPOSE = b"unsubscribe"
_ID_BYTES = 16
_TIME_BYTES = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class TokenInvalid(Exception):
    """Not a token that we made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffMail:
    """A mail to a staff member. `latest_at` is when the last message that it tells of was sent."""

    clinic_id: UUID
    staff_id: UUID
    dispatch_id: UUID
    latest_at: datetime


class UnsubscribeTokens:
    """A token does this one thing, for one person, and holds up as long as the mail does."""

    def __init__(self, sealing_key: bytes) -> None:
        self._key = derive(sealing_key, "unsubscribe tokens 2")

    def seal(self, contents: Contents) -> str:
        ids = (contents.clinic_id, contents.recipient.id, contents.dispatch_id)
        ticks = (contents.latest_at - _EPOCH) // _TICK
        told = b"".join(id.bytes for id in ids) + ticks.to_bytes(_TIME_BYTES)
        sealed = seal(self._key, told, _PURPOSE)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, token: str) -> StaffMail:
        """Which mail it came with. Raises TokenInvalid."""
        try:
            sealed = base64.b64decode(
                token + "=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
            told = open_sealed(self._key, sealed, _PURPOSE)
        except (binascii.Error, ValueError, InvalidTag):
            raise TokenInvalid from None
        clinic_id, staff_id, dispatch_id = (
            UUID(bytes=told[start : start + _ID_BYTES]) for start in (0, 16, 32)
        )
        return StaffMail(
            clinic_id=clinic_id,
            staff_id=staff_id,
            dispatch_id=dispatch_id,
            latest_at=_EPOCH + int.from_bytes(told[-_TIME_BYTES:]) * _TICK,
        )
