"""How handing something to a provider fails.

ChannelFailure
├── TryLater         not taken, and it may be another time
├── AddressRefused   the address will not work another time either
├── MailRefused      this mail will not be taken another time either
├── PushRefused      this push will not be taken another time either
├── DeviceGone       there is no such device any more
└── NoAnswer         the provider had all of it and did not say; never sent again
"""

from datetime import datetime
from typing import ClassVar

from services.notifications.domain.delivery import Outcome


class ChannelFailure(Exception):
    outcome: ClassVar[Outcome]


class TryLater(ChannelFailure):
    """`not_before` is when the provider wants to hear of it again, where it said so."""

    outcome = Outcome.TRY_LATER

    def __init__(self, *, not_before: datetime | None = None) -> None:
        super().__init__()
        self.not_before = not_before


class AddressRefused(ChannelFailure):
    outcome = Outcome.ADDRESS_REFUSED


class MailRefused(ChannelFailure):
    outcome = Outcome.MAIL_REFUSED


class PushRefused(ChannelFailure):
    outcome = Outcome.MAIL_REFUSED


class DeviceGone(ChannelFailure):
    outcome = Outcome.NO_DEVICE


class NoAnswer(ChannelFailure):
    outcome = Outcome.NO_ANSWER
