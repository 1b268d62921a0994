"""One sign-in of one person on one device; its id is the `sid` of the tokens made for it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from services.chassis.identity import Caller, Role
from services.messaging_rule import Side

TOUCH_EVERY = timedelta(minutes=1)


class EndCause(StrEnum):
    LOGOUT = "LOGOUT"
    EXPIRED = "EXPIRED"
    DEACTIVATED = "DEACTIVATED"
    MERGED = "MERGED"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    clinic_id: UUID
    id: UUID
    side: Side
    person_id: UUID
    opened_at: datetime
    last_activity_at: datetime
    ended_at: datetime | None
    end_cause: EndCause | None
    version: int

    @property
    def open(self) -> bool:
        return self.ended_at is None

    @property
    def person(self) -> tuple[Side, UUID]:
        """Whose it is: the same human as staff and as patient is two (R37)."""
        return self.side, self.person_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long a session lives without activity, and at most."""

    idle: timedelta
    lifetime: timedelta


def is_worth_writing(session: Session, *, now: datetime) -> bool:
    """Is this sign of life late enough after the last one? At most one write a minute."""
    return now - session.last_activity_at >= TOUCH_EVERY


def person_of(caller: Caller) -> tuple[Side, UUID]:
    """Who a person's token says is acting."""
    return (Side.STAFF if caller.role is Role.STAFF else Side.PROFILE), caller.person
