"""Push: every device through the provider of its platform, each provider in a lane of its own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.chassis.logs import get_logger
from services.chassis.telemetry import counter
from services.notifications.channels.failures import ChannelFailure, DeviceGone, PushRefused
from services.notifications.channels.pace import Pace
from services.notifications.channels.push_tokens import PushTokens, TokenLost
from services.notifications.domain.device import DeviceAddress, Platform
from services.notifications.domain.push import Push

TRIES = counter(
    "push_tries_total", "Pushes handed, or nearly handed, to a provider.", ("platform", "outcome")
)

log = get_logger()


class Provider(Protocol):
    """A push service. Raises the failures that `PushChannel.send` does."""

    async def send(self, token: str, push: Push) -> None: ...

    async def close(self) -> None: ...


class PushChannel:
    """A platform without a provider is off: its devices are not reached. One without a pace gets
    as many pushes as there are."""

    def __init__(
        self,
        tokens: PushTokens,
        providers: Mapping[Platform, Provider],
        *,
        paces: Mapping[Platform, Pace],
    ) -> None:
        self._tokens = tokens
        self._providers = providers
        self._paces = paces

    @property
    def platforms(self) -> frozenset[Platform]:
        """Those that are on."""
        return frozenset(self._providers)

    def take_turn(self, devices: Sequence[DeviceAddress]) -> datetime | None:
        """None where each of these may be sent a push now, which is counted; otherwise when to come
        again, and nothing is counted."""
        pushes = Counter(device.platform for device in devices)
        paced = [(self._paces[each], n) for each, n in pushes.items() if each in self._paces]
        turns = [turn for pace, n in paced if (turn := pace.next_turn(n)) is not None]
        if turns:
            return max(turns)
        for pace, n in paced:
            pace.take(n)
        return None

    async def send(self, device: DeviceAddress, push: Push) -> None:
        """Returns once the provider has taken it; `take_turn` comes first.

        Raises TryLater, perhaps with a time, where the provider has not taken it, NoAnswer where it
        may have; DeviceGone or PushRefused where a further try has no use.
        """
        try:
            await self._send(device, push)
        except ChannelFailure as failure:
            TRIES.labels(device.platform.lower(), failure.outcome.lower()).inc()
            log.warning("push_not_sent", device_id=device.id, cause=failure.outcome)
            raise
        TRIES.labels(device.platform.lower(), "sent").inc()
        log.info("push_sent", device_id=device.id)

    async def _send(self, device: DeviceAddress, push: Push) -> None:
        provider = self._providers.get(device.platform)
        if provider is None:
            raise PushRefused
        try:
            token = self._tokens.open(device)
        except TokenLost as error:
            raise DeviceGone from error
        await provider.send(token, push)

    async def close(self) -> None:
        for provider in self._providers.values():
            await provider.close()
