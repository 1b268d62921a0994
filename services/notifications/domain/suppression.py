"""An address of one person that is mailed no more (I40)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.notifications.domain.delivery import Recipient
from services.notifications.domain.feedback import Feedback


class SuppressionReason(StrEnum):
    REJECTED = "REJECTED"
    BOUNCED = "BOUNCED"
    COMPLAINT = "COMPLAINT"


# Which reports say that an address must not be mailed again.
SUPPRESSED_BY: Mapping[Feedback, SuppressionReason] = {
    Feedback.BAD_RECIPIENT: SuppressionReason.BOUNCED,
    Feedback.COMPLAINT: SuppressionReason.COMPLAINT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """`lifted_at` is None while it is in force."""

    id: UUID
    recipient: Recipient
    reason: SuppressionReason
    created_at: datetime
    lifted_at: datetime | None
