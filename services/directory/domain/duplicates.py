"""What makes two profiles look like one person; a hint for people, never a rule."""

from dataclasses import dataclass
from enum import StrEnum

from services.directory.domain.profile import Profile
from services.directory.domain.wording import email_key, phone_key
from services.search_terms import fold


class Signal(StrEnum):
    SAME_NAME = "SAME_NAME"
    SAME_EMAIL = "SAME_EMAIL"
    SAME_PHONE = "SAME_PHONE"
    SAME_BIRTH_DATE = "SAME_BIRTH_DATE"


@dataclass(frozen=True, slots=True)
class LikelyDuplicate:
    profile: Profile
    signals: tuple[Signal, ...]


def signals(one: Profile, other: Profile) -> tuple[Signal, ...]:
    """What the two have in common; what neither has is nothing in common."""
    return tuple(
        signal for signal, mark in _marks(one).items() if mark and mark == _marks(other)[signal]
    )


def _marks(profile: Profile) -> dict[Signal, object]:
    return {
        Signal.SAME_NAME: fold(profile.display_name),
        Signal.SAME_EMAIL: email_key(profile.email),
        Signal.SAME_PHONE: phone_key(profile.phone),
        Signal.SAME_BIRTH_DATE: profile.birth_date,
    }
