"""The push services that we have credentials for."""

from pathlib import Path

from services.chassis.clock import system_clock
from services.notifications.channels.apns import Apns, AppleKey
from services.notifications.channels.fcm import AccessTokens, Fcm
from services.notifications.channels.push_credentials import read_service_account
from services.notifications.channels.push_transport import Transport


def google_provider(credentials: Path, *, url: str, development: bool) -> Fcm:
    """Raises RefusedToStart for credentials that are none."""
    account = read_service_account(credentials, development=development)
    tokens = AccessTokens(account, Transport(account.origin), clock=system_clock)
    return Fcm(account, tokens=tokens, transport=Transport(url))


def apple_provider(key: AppleKey, *, url: str) -> Apns:
    return Apns(key, transport=Transport(url), clock=system_clock)
