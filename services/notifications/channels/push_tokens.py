"""Push tokens: whoever has one can push to that device, so they are told to its provider alone."""

import hashlib
import hmac
from uuid import UUID

from cryptography.exceptions import InvalidTag

from services.chassis.keys import derive, open_sealed, seal
from services.notifications.domain.device import DeviceAddress, Platform


class TokenLost(Exception):
    """Sealed with another key, or elsewhere: nobody can read it any more."""


class PushTokens:
    """Sealed at rest, each for its place; told apart by keyed prints."""

    def __init__(self, sealing_key: bytes) -> None:
        self._sealing_key = derive(sealing_key, "push tokens 1")
        self._print_key = derive(sealing_key, "push token prints 1")

    def print_of(self, token: str, platform: Platform) -> bytes:
        """The same for every clinic, for a token belongs to one profile of all of them."""
        return hmac.digest(self._print_key, f"{platform} {token}".encode(), hashlib.sha256)

    def seal(self, token: str, *, clinic_id: UUID, device_id: UUID) -> bytes:
        return seal(self._sealing_key, token.encode(), _place(clinic_id, device_id))

    def open(self, device: DeviceAddress) -> str:
        """Raises TokenLost."""
        place = _place(device.clinic_id, device.id)
        try:
            return open_sealed(self._sealing_key, device.sealed_token, place).decode()
        except InvalidTag:
            raise TokenLost from None


def _place(clinic_id: UUID, device_id: UUID) -> bytes:
    return f"push token {clinic_id} {device_id}".encode()
