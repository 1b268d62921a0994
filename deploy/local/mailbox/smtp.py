"""The SMTP door: everything is taken, unless a fault says otherwise."""

import asyncio
from datetime import UTC, datetime

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local.mailbox.faults import Fault, Faults
from deploy.local.mailbox.store import Mailbox


class Door:
    """What aiosmtpd asks at each step; it finds the methods by their names."""

    def __init__(self, mailbox: Mailbox, faults: Faults) -> None:
        self._mailbox = mailbox
        self.faults = faults

    async def handle_MAIL(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        mail_options: list[str],
    ) -> str:
        if refusal := await self.strike(server, self.faults.at("mail", [])):
            return refusal
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> str:
        if refusal := await self.strike(server, self.faults.at("rcpt", [address])):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        fault = self.faults.at("end", envelope.rcpt_tos)
        if fault is None or fault.code is None:
            silent = fault is not None and fault.slow is None
            self._mailbox.add(
                envelope.original_content or b"",
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                at=datetime.now(UTC),
                answered=not silent,
            )
        return await self.strike(server, fault) or "250 Taken"

    async def strike(self, server: SMTP, fault: Fault | None) -> str:
        """Do what was programmed; the refusal to answer with, or empty to go on."""
        if fault is None:
            return ""
        if fault.code is not None:
            return f"{fault.code} As programmed"
        if fault.slow is not None:
            await asyncio.sleep(fault.slow)
        else:
            if fault.reset and isinstance(server.transport, asyncio.WriteTransport):
                server.transport.abort()  # which ends this talk, wherever it waits
            await self.faults.hang()
        return ""


class _Talk(SMTP):
    """aiosmtpd asks nobody before it answers DATA."""

    def __init__(self, door: Door) -> None:
        super().__init__(door, hostname="mailbox.localhost", enable_SMTPUTF8=True)
        self._door = door

    async def smtp_DATA(self, arg: str) -> None:
        recipients = [] if self.envelope is None else self.envelope.rcpt_tos
        refusal = ""
        if recipients:
            refusal = await self._door.strike(self, self._door.faults.at("data", recipients))
        if refusal:
            await self.push(refusal)
        else:
            await super().smtp_DATA(arg)


def protocol(door: Door) -> SMTP:
    return _Talk(door)
