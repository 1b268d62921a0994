"""What this service needs to be told, by environment variables that begin with NOTIFICATIONS_."""

import re
from dataclasses import dataclass
from datetime import timedelta
from email.headerregistry import Address
from email.utils import parseaddr
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from services.chassis.settings import ChassisSettings, Secret, setting

PREFIX = "NOTIFICATIONS"
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_TLS = frozenset({"off", "starttls", "implicit"})


def _is_port(number: int) -> bool:
    return 0 < number < 65_536


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    """Of `host`, `host:port`, `[v6]` or `[v6]:port`. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.netloc != text or "@" in text:
        raise ValueError(text)
    return parts.hostname, default_port if parts.port is None else parts.port


def _are_hosts(texts: tuple[str, ...]) -> bool:
    return bool(texts) and all(_is_port(_host_and_port(text, 1)[1]) for text in texts)


def _is_positive(number: int) -> bool:
    return number > 0


def _is_domain(text: str | None) -> bool:
    return text is None or _DOMAIN.fullmatch(text) is not None


def _is_loopback(text: str | None) -> bool:
    """Whoever reaches it is believed to be our own mail server."""
    if text is None:
        return True
    host, _ = _host_and_port(text, 0)
    return host == "localhost" or ip_address(host).is_loopback


def _is_long_enough(days: int) -> bool:
    """Events come again for weeks, and what became of them must be known then."""
    return days >= 30


def _has_address(text: str) -> bool:
    try:
        return bool(Address(addr_spec=parseaddr(text)[1]).domain)
    except (ValueError, IndexError):
        return False


def _is_web_address(text: str | None) -> bool:
    return text is None or text.startswith(("https://", "http://"))


_APPLES = ("APNS_KEY", "APNS_KEY_ID", "APNS_TEAM_ID", "APNS_TOPIC")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSettings:
    """A platform without credentials is off."""

    fcm_credentials: Path | None = setting(
        help="a Google service account as its JSON file; without it Android gets no pushes",
        default=None,
    )
    fcm_pushes_a_second: int = setting(
        help="how many pushes a second FCM gets of a process; more wait for their turn",
        default=1_000,
        check=_is_positive,
    )
    fcm_url: str = setting(
        help="where FCM is reached",
        default="https://fcm.googleapis.com",
        check=_is_web_address,
    )
    apns_key: Path | None = setting(
        help="Apple's signing key, a p8 file; without it Apple devices get no pushes",
        default=None,
    )
    apns_key_id: str | None = setting(help="the id of that key", default=None)
    apns_team_id: str | None = setting(help="the team that the key is of", default=None)
    apns_topic: str | None = setting(help="the app's bundle id", default=None)
    apns_pushes_a_second: int = setting(
        help="how many pushes a second APNs gets of a process; more wait for their turn",
        default=1_000,
        check=_is_positive,
    )
    apns_url: str = setting(
        help="where APNs is reached; https://api.sandbox.push.apple.com for apps in development",
        default="https://api.push.apple.com",
        check=_is_web_address,
    )

    def __post_init__(self) -> None:
        given = (self.apns_key, self.apns_key_id, self.apns_team_id, self.apns_topic)
        if len({value is None for value in given}) > 1:
            raise ValueError(f"{', '.join(_APPLES)} go together")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    chassis: ChassisSettings
    directory_target: str = setting(help="host:port of the directory's internal services")
    conversations_target: str = setting(help="host:port of the internal ones of conversations")
    ledger_days: int = setting(
        help="how long it is kept what became of a delivery, in days, at least 30",
        default=400,
        check=_is_long_enough,
    )
    smtp_host: tuple[str, ...] = setting(
        help="the mail servers that take our mail, host or host:port; each is asked where those"
        " before it have no use for us",
        check=_are_hosts,
    )
    smtp_port: int = setting(help="the port of those that name none", check=_is_port)
    smtp_tls: str = setting(
        help="off, starttls or implicit", default="off", check=_TLS.__contains__
    )
    smtp_mails_a_second: int = setting(
        help="how many mails a second each mail server gets of a process; more wait for their turn",
        default=1_000,
        check=_is_positive,
    )
    smtp_username: str | None = setting(help="our login there", default=None)
    smtp_password: Secret | None = setting(help="the login's password", default=None)
    mail_from: str = setting(
        help="the address that mail comes from; its name is the clinic's", check=_has_address
    )
    unsubscribe_listen: str | None = setting(
        help="host:port of /unsubscribe, all that a gateway may show to the world; not served"
        " without it",
        default=None,
    )
    bounce_domain: str | None = setting(
        help="the domain of the return paths that mail comes back to; without it, undeliverable"
        " mail comes back to MAIL_FROM and nobody hears of it",
        default=None,
        check=_is_domain,
    )
    bounce_listen: str | None = setting(
        help="loopback host:port where the machine's mail server hands over the mail of"
        " BOUNCE_DOMAIN; not served without it",
        default=None,
        check=_is_loopback,
    )
    public_url: str | None = setting(
        help="where mail readers reach /unsubscribe of this service; without it staff mail"
        " offers no one-click unsubscribe",
        default=None,
        check=_is_web_address,
    )

    push: PushSettings

    def __post_init__(self) -> None:
        for name, url in (("FCM_URL", self.push.fcm_url), ("APNS_URL", self.push.apns_url)):
            if not (url.startswith("https://") or self.chassis.development):
                raise ValueError(f"{name} is https but for development: tokens go there")
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("SMTP_USERNAME and SMTP_PASSWORD go together")
        if self.smtp_password is not None and self.smtp_tls == "off":
            raise ValueError("SMTP_PASSWORD is not sent in the clear: set SMTP_TLS")
        if self.bounce_listen is not None and self.bounce_domain is None:
            raise ValueError("BOUNCE_LISTEN is for the mail of BOUNCE_DOMAIN: set it too")

    @property
    def ledger_kept(self) -> timedelta:
        return timedelta(days=self.ledger_days)

    @property
    def smtp_addresses(self) -> list[tuple[str, int]]:
        """Host and port of each mail server, in order."""
        return [_host_and_port(text, self.smtp_port) for text in self.smtp_host]

    @property
    def sender_address(self) -> str:
        """The bare address of MAIL_FROM."""
        return parseaddr(self.mail_from)[1]
