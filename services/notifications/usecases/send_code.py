"""A one-time code, mailed at once to the address on a staff member's profile.

It is no notification: neither their preference nor their sessions are asked. The code goes over the
wire and is kept nowhere, so what could not be sent is asked for again by whoever made it.
"""

from dataclasses import dataclass, field, replace
from uuid import UUID

from services.chassis.errors import Unavailable
from services.chassis.identity import Caller
from services.messaging_rule import Side
from services.notifications.channels.failures import AddressRefused, ChannelFailure
from services.notifications.channels.prints import AddressPrints
from services.notifications.channels.rendering import Composer
from services.notifications.channels.smtp import SmtpChannel
from services.notifications.clients.directory import Directory
from services.notifications.domain.delivery import Recipient
from services.notifications.domain.errors import AddressSuppressed, StaffAddressNotFound
from services.notifications.domain.mail import OneTimeCode
from services.notifications.domain.suppression import SuppressionReason
from services.notifications.storage.unit_of_work import Storage, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class SendCode:
    caller: Caller
    staff_id: UUID
    code: str = field(repr=False)
    request_id: UUID

    @property
    def recipient(self) -> Recipient:
        return Recipient(Side.STAFF, self.staff_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeWorks:
    """What it takes to get a code out."""

    storage: Storage
    directory: Directory
    channel: SmtpChannel
    composer: Composer
    prints: AddressPrints


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """`print` tells this request from another without telling the code."""

    caller: Caller
    command: SendCode
    print: bytes
    refused: bytes | None = None


async def send_code(command: SendCode, *, works: CodeWorks) -> None:
    """Returns once the mail server has taken it; a repeat after that sends nothing.

    Raises StaffAddressNotFound, AddressSuppressed, also where the server refuses the address now,
    and Unavailable, after which a repeat sends the same mail.
    """
    code = OneTimeCode(id=command.request_id, text=command.code)
    asked = _Asked(
        caller=command.caller,
        command=command,
        print=works.prints.of(f"{command.request_id} {command.code}"),
    )
    suppressed = await works.storage.run(_suppressed, asked)
    if suppressed is None:
        return
    addressee = await works.directory.get_addressee(command.caller.clinic, command.recipient)
    if not addressee.address:
        raise StaffAddressNotFound("There is no address of such a staff member")
    address_print = works.prints.of(addressee.address)
    if address_print in suppressed:
        raise AddressSuppressed("The address is suppressed; lift that first")
    try:
        async with works.channel.open(addressee.address) as transmission:
            await transmission.send(works.composer.compose_code(code, addressee))
    except AddressRefused:
        await works.storage.run(_suppress, replace(asked, refused=address_print))
        raise AddressSuppressed("The mail server refused the address for good") from None
    except ChannelFailure as failure:
        raise Unavailable("The mail server has not taken it") from failure
    await works.storage.run(_remember, asked)


async def _suppressed(tx: Transaction, asked: _Asked) -> frozenset[bytes] | None:
    """Prints of addresses that are mailed no more; None where this code was sent before."""
    command = asked.command
    earlier = await tx.known_result(
        asked.caller, command.request_id, method="SendCode", content=_content(asked)
    )
    return None if earlier else await tx.suppressions.of(command.recipient)


async def _suppress(tx: Transaction, asked: _Asked) -> None:
    assert asked.refused is not None
    await tx.suppressions.add(
        asked.command.recipient, asked.refused, reason=SuppressionReason.REJECTED, now=tx.now
    )


async def _remember(tx: Transaction, asked: _Asked) -> None:
    command = asked.command
    earlier = await tx.earlier_result(
        asked.caller,
        command.request_id,
        method="SendCode",
        content=_content(asked),
        result_id=command.staff_id,
    )
    if earlier is None:
        await tx.note(asked.caller, "send_code", "staff", command.staff_id)


def _content(asked: _Asked) -> str:
    return f"{asked.command.staff_id} {asked.print.hex()}"
