"""A message as this service knows it: ids, its place and its time."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    id: UUID
    conversation_id: UUID
    sequence: int
    sent_at: datetime
