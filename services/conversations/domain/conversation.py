"""A thread between one staff member and one profile (R4, R35)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.messaging_rule import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One row: threads are strictly one-to-one, so both sides' state stands in it."""

    clinic_id: UUID
    id: UUID
    staff_id: UUID
    profile_id: UUID
    created_at: datetime
    last_sequence: int
    staff_unread: int
    profile_unread: int
    staff_read_sequence: int
    profile_read_sequence: int
    last_activity_at: datetime

    def person(self, side: Side) -> UUID:
        return self.staff_id if side is Side.STAFF else self.profile_id

    def unread(self, side: Side) -> int:
        return self.staff_unread if side is Side.STAFF else self.profile_unread

    def read_sequence(self, side: Side) -> int:
        return self.staff_read_sequence if side is Side.STAFF else self.profile_read_sequence
