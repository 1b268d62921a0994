"""What tells one address from another without telling the address."""

import hashlib
import hmac

from services.chassis.keys import derive


class AddressPrints:
    """Keyed hashes; spellings that differ in case alone have one print."""

    def __init__(self, sealing_key: bytes) -> None:
        self._key = derive(sealing_key, "address prints 1")

    def of(self, address: str) -> bytes:
        return hmac.digest(self._key, address.strip().casefold().encode(), hashlib.sha256)
