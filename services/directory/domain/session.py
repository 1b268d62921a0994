"""One sign-in of one person on one device; its id is the `sid` of the tokens made for it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long a session lives without activity, and at most."""

    idle: timedelta
    lifetime: timedelta

    def expires_at(self, session: Session) -> datetime:
        """When the session ends by itself unless there is activity before."""
        idle_until = session.last_activity_at + self.idle
        return min(idle_until, session.opened_at + self.lifetime)


def is_worth_writing(session: Session, *, now: datetime) -> bool:
    """Is this sign of life late enough after the last one? At most one write a minute."""
    return now - session.last_activity_at >= TOUCH_EVERY
