"""The SMTP door: everything is taken, unless a fault says otherwise."""

from datetime import UTC, datetime

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local.mailbox.faults import Faults
from deploy.local.mailbox.store import Mailbox


class Door:
    """What aiosmtpd asks at RCPT and after DATA; it finds the methods by their names."""

    def __init__(self, mailbox: Mailbox, faults: Faults) -> None:
        self._mailbox = mailbox
        self._faults = faults

    async def handle_RCPT(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> str:
        fault = self._faults.of(address)
        if fault is not None and fault.code is not None:
            return f"{fault.code} As programmed"
        if fault is not None and fault.hang == "before_data":
            await self._faults.hang()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        hangs = self._hangs(envelope.rcpt_tos)
        self._mailbox.add(
            envelope.original_content or b"",
            sender=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            at=datetime.now(UTC),
            answered=not hangs,
        )
        if hangs:
            await self._faults.hang()
        return "250 Taken"

    def _hangs(self, recipients: list[str]) -> bool:
        faults = [self._faults.of(recipient) for recipient in recipients]
        return any(fault is not None and fault.hang == "after_data" for fault in faults)


def protocol(door: Door) -> SMTP:
    return SMTP(door, hostname="mailbox.localhost", enable_SMTPUTF8=True)
