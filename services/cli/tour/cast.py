"""Who takes part in the tour, and what they act with."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.cli import actor
from services.cli.actor import Actor
from services.cli.failures import Failed
from services.cli.mailbox import Mail, Mailbox
from services.cli.sessions import Desk, Person
from services.cli.suite import Heard, Suite
from services.cli.tour.telling import Narrator

_MAIL_WITHIN = timedelta(seconds=60)
_LOOK_EVERY = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class Stage:
    """What every chapter is played on."""

    suite: Suite
    desk: Desk
    mailbox: Mailbox
    narrator: Narrator

    async def join(self, person: Person, *, clinic_id: str, name: str, email: str) -> Actor:
        """Sign somebody in, to act from now on."""
        return await actor.join(self.desk, person, clinic_id=clinic_id, name=name, email=email)

    async def mail(self, *, to: str, about: str) -> Mail:
        """The latest mail to an address about a conversation, as soon as it is there.

        Raises Failed where none comes in time.
        """
        self.narrator.heard(Heard("look into the mailbox", to, "", 0.0))
        deadline = datetime.now(UTC) + _MAIL_WITHIN
        while datetime.now(UTC) < deadline:
            for mail in await self.mailbox.mails(to=to):
                if mail.conversation_id == about:
                    return mail
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
        raise Failed(f"no mail came within {_MAIL_WITHIN.total_seconds():.0f} s")


@dataclass(frozen=True, slots=True)
class Cast:
    clinic_id: str
    owner: Actor
    manager: Actor
    practitioner: Actor
    colleague: Actor
    front_desk: Actor
    patient: Actor
    contact: Actor
