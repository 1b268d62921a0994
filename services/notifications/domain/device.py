"""A device that gets pushes for one profile."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

# One that registers while its profile has as many takes the place of the one longest unheard of.
MOST_OF_A_PROFILE = 10
# Apps register at every start. Whoever has not for so long does not use theirs any more.
FORGOTTEN_AFTER = timedelta(days=60)
LONGEST_TOKEN = 4096


class Platform(StrEnum):
    FCM = "FCM"
    APNS = "APNS"


# What the push services hand out; APNs' goes into a path.
_TOKENS = {
    Platform.FCM: re.compile(rf"[!-~]{{1,{LONGEST_TOKEN}}}"),
    Platform.APNS: re.compile(r"(?:[0-9a-fA-F]{2}){1,100}"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """`registered_at` is when its app last registered it."""

    id: UUID
    platform: Platform
    registered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAddress:
    """Where a push goes. Only the channel opens `sealed_token`."""

    clinic_id: UUID
    id: UUID
    platform: Platform
    registered_at: datetime
    sealed_token: bytes = field(repr=False)


def is_push_token(token: str, platform: Platform) -> bool:
    """Does it look like what this platform's push service hands out?"""
    return _TOKENS[platform].fullmatch(token) is not None


def canonical_token(token: str, platform: Platform) -> str:
    """One spelling for each token."""
    return token.lower() if platform is Platform.APNS else token
