"""A device gets the pushes of the profile that acts on it, and of no other (R17, I8)."""

from dataclasses import dataclass, field
from uuid import UUID

from services.chassis.errors import InvalidArgument, SessionEnded
from services.chassis.identity import Caller
from services.chassis.ids import uuid7
from services.messaging_rule import Side
from services.notifications.channels.push import PushChannel
from services.notifications.channels.push_tokens import PushTokens
from services.notifications.domain.delivery import Recipient
from services.notifications.domain.device import (
    MOST_OF_A_PROFILE,
    Device,
    DeviceAddress,
    Platform,
    canonical_token,
    is_push_token,
)
from services.notifications.domain.errors import PushPlatformOff
from services.notifications.storage.unit_of_work import Transaction
from services.notifications.usecases.access import access_device


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterDevice:
    caller: Caller
    platform: Platform
    push_token: str = field(repr=False)
    request_id: UUID


async def register_device(
    tx: Transaction, command: RegisterDevice, *, tokens: PushTokens, channel: PushChannel
) -> Device:
    """Whoever had the token before loses it. A repeat returns the same device."""
    _check(command, channel)
    profile_id, platform = command.caller.person, command.platform
    token = canonical_token(command.push_token, platform)
    token_print = tokens.print_of(token, platform)
    await tx.lock(Recipient(Side.PROFILE, profile_id))
    device_id = await tx.devices.holder(token_print, profile_id) or uuid7()
    earlier = await tx.earlier_result(
        command.caller,
        command.request_id,
        method="RegisterDevice",
        content=f"{platform} {token_print.hex()}",
        result_id=device_id,
    )
    if earlier is not None:
        return await access_device(tx, profile_id, earlier)
    session_id = await _held_session(tx, command.caller)
    address = DeviceAddress(
        clinic_id=tx.clinic_id,
        id=device_id,
        platform=platform,
        registered_at=tx.now,
        sealed_token=tokens.seal(token, clinic_id=tx.clinic_id, device_id=device_id),
    )
    await tx.devices.save(
        address, profile_id=profile_id, session_id=session_id, token_print=token_print
    )
    await tx.devices.drop_surplus(profile_id, most=MOST_OF_A_PROFILE)
    return Device(id=device_id, platform=platform, registered_at=tx.now)


def _check(command: RegisterDevice, channel: PushChannel) -> None:
    if not is_push_token(command.push_token, command.platform):
        raise InvalidArgument("push_token is none of this platform", field="push_token")
    if command.platform not in channel.platforms:
        raise PushPlatformOff("There are no pushes for such devices", platform=command.platform)


async def _held_session(tx: Transaction, caller: Caller) -> UUID:
    """The caller's session, which cannot end before this is committed: what ends it then finds
    the device."""
    session_id = caller.session_id
    if session_id is None or not await tx.devices.hold_session(caller.person, session_id):
        raise SessionEnded("This session has ended; sign in again")
    return session_id
