"""What a provider reports of a mail after it took it: a second column beside the state."""

from enum import StrEnum


class Feedback(StrEnum):
    """The gravest last."""

    DELIVERED = "DELIVERED"
    BOUNCED = "BOUNCED"
    BAD_RECIPIENT = "BAD_RECIPIENT"
    COMPLAINT = "COMPLAINT"


class ProviderState(StrEnum):
    """A delivery in the words of a message log."""

    UNSENT = "UNSENT"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    BOUNCED = "BOUNCED"
    BAD_RECIPIENT = "BAD_RECIPIENT"
    COMPLAINT = "COMPLAINT"


_GRAVITY = {feedback: gravity for gravity, feedback in enumerate(Feedback)}


def is_graver(told: Feedback, held: Feedback | None) -> bool:
    """Reports come twice and in any order: the gravest stands."""
    return held is None or _GRAVITY[told] > _GRAVITY[held]
