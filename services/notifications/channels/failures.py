"""How handing something to a provider fails.

ChannelFailure
├── TryLater         not taken, and it may be another time
├── AddressRefused   the address will not work another time either
├── MailRefused      this mail will not be taken another time either
└── NoAnswer         the provider had all of it and did not say; never sent again
"""

from typing import ClassVar

from services.notifications.domain.delivery import Outcome


class ChannelFailure(Exception):
    outcome: ClassVar[Outcome]


class TryLater(ChannelFailure):
    outcome = Outcome.TRY_LATER


class AddressRefused(ChannelFailure):
    outcome = Outcome.ADDRESS_REFUSED


class MailRefused(ChannelFailure):
    outcome = Outcome.MAIL_REFUSED


class NoAnswer(ChannelFailure):
    outcome = Outcome.NO_ANSWER
