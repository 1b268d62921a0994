"""What a push tells a device: that there is something to fetch, and how much (R17, P12).

It holds ids that say nothing to whoever does not sign in, a number, and one constant sentence that
the channels write; no name, no clinic, no text.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.notifications.domain.mail import SUBJECT

# The same for everybody, as in the mail.
WORDS = SUBJECT
_KEPT_FOR = timedelta(days=1)
_CLEAR_KEPT_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One push to the devices of one profile.

    A later push with the same `collapse_id` takes the place of an earlier one; so does a repeat of
    the same dispatch. `conversation_id` is None where it tells of more than one. `badge` is None
    where nobody knows: the device keeps its number. `silent` shows nothing: the device takes back
    what it shows of the conversation, if one is named, and sets its badge (I16, I17).
    """

    dispatch_id: UUID
    collapse_id: UUID
    profile_id: UUID
    conversation_id: UUID | None
    badge: int | None
    silent: bool = False

    @property
    def lifetime(self) -> timedelta:
        """How long the provider keeps it for a device that is switched off."""
        return _CLEAR_KEPT_FOR if self.silent else _KEPT_FOR
