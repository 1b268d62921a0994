"""What this service needs to be told, by environment variables that begin with NOTIFICATIONS_."""

from dataclasses import dataclass
from email.headerregistry import Address
from email.utils import parseaddr

from services.chassis.settings import ChassisSettings, Secret, setting

PREFIX = "NOTIFICATIONS"
_TLS = frozenset({"off", "starttls", "implicit"})


def _is_port(number: int) -> bool:
    return 0 < number < 65_536


def _has_address(text: str) -> bool:
    try:
        return bool(Address(addr_spec=parseaddr(text)[1]).domain)
    except (ValueError, IndexError):
        return False


def _is_web_address(text: str | None) -> bool:
    return text is None or text.startswith(("https://", "http://"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    chassis: ChassisSettings
    directory_target: str = setting(help="host:port of the directory's internal services")
    conversations_target: str = setting(help="host:port of the internal ones of conversations")
    smtp_host: str = setting(help="the mail server that takes our mail")
    smtp_port: int = setting(help="its port", check=_is_port)
    smtp_tls: str = setting(
        help="off, starttls or implicit", default="off", check=_TLS.__contains__
    )
    smtp_username: str | None = setting(help="our login there", default=None)
    smtp_password: Secret | None = setting(help="the login's password", default=None)
    mail_from: str = setting(
        help="the address that mail comes from; its name is the clinic's", check=_has_address
    )
    public_url: str | None = setting(
        help="where mail readers reach /unsubscribe of this service; without it staff mail"
        " offers no one-click unsubscribe",
        default=None,
        check=_is_web_address,
    )

    def __post_init__(self) -> None:
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("SMTP_USERNAME and SMTP_PASSWORD go together")
        if self.smtp_password is not None and self.smtp_tls == "off":
            raise ValueError("SMTP_PASSWORD is not sent in the clear: set SMTP_TLS")

    @property
    def sender_address(self) -> str:
        """The bare address of MAIL_FROM."""
        return parseaddr(self.mail_from)[1]
