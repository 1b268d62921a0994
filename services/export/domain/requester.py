"""Does a request come from the Account Owner's own address (R43, I25)?"""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.errors import InvalidArgument

MOST_ADDRESS = 254


@dataclass(frozen=True, slots=True)
class Requester:
    """The Account Owner, and a keyed hash of the address on their staff profile."""

    owner_id: UUID
    address_hash: bytes


def address_key(address: str) -> str:
    """What two spellings of one address have in common; tags are part of an address."""
    return address.strip().casefold()


def check_address(address: str) -> None:
    """Raises InvalidArgument for what is longer than any address."""
    if len(address) > MOST_ADDRESS:
        raise InvalidArgument(
            f"requester_address has at most {MOST_ADDRESS} characters", field="requester_address"
        )
