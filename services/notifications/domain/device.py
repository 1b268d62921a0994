"""A device that gets pushes for one profile."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Platform(StrEnum):
    FCM = "FCM"
    APNS = "APNS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    id: UUID
    platform: Platform
    registered_at: datetime
