"""What export asks the directory: names, and the address of one person at a time."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.directory_replica.directory import MOST_DETAILS, DirectoryClient


class Directory:
    """Every call raises Unavailable where the directory is out of reach."""

    def __init__(self, client: DirectoryClient) -> None:
        self._client = client

    async def address_of(self, clinic_id: UUID, staff_id: UUID) -> str:
        """The address on a staff profile now; empty where there is none."""
        found = await self._client.get_details(clinic_id, staff=[staff_id])
        details = found.staff.get(staff_id)
        return "" if details is None else details.email

    async def staff_name(self, clinic_id: UUID, staff_id: UUID) -> str:
        """Empty where the directory does not know them."""
        found = await self._client.get_details(clinic_id, staff=[staff_id])
        details = found.staff.get(staff_id)
        return "" if details is None else details.display_name

    async def profile_names(
        self, clinic_id: UUID, profile_ids: Sequence[UUID]
    ) -> Mapping[UUID, str]:
        """By id; whom the directory does not know is absent."""
        names: dict[UUID, str] = {}
        for start in range(0, len(profile_ids), MOST_DETAILS):
            asked = profile_ids[start : start + MOST_DETAILS]
            found = await self._client.get_details(clinic_id, profiles=asked)
            names |= {id: details.display_name for id, details in found.profiles.items()}
        return names
