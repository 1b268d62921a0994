"""What this service needs to be told, by environment variables that begin with CONVERSATIONS_."""

from dataclasses import dataclass
from pathlib import Path

from services.chassis.settings import ChassisSettings, setting

PREFIX = "CONVERSATIONS"


def _positive(number: float) -> bool:
    return number > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    chassis: ChassisSettings
    directory_target: str = setting(help="host:port of the directory's internal services")
    notifications_target: str = setting(help="host:port of the internal services of notifications")
    master_key_file: Path = setting(
        help="file with the master key, base64 of 32 bytes, that wraps the data keys"
    )
    other_master_key_file: Path | None = setting(
        help="file with the master key before or after it, while it is replaced; it opens and"
        " wraps nothing",
        default=None,
    )
    send_rate_actor: float = setting(
        help="messages a second of one person, in one process", default=1.0, check=_positive
    )
    send_burst_actor: float = setting(
        help="messages that one person may send at once", default=10.0, check=_positive
    )
    send_rate_clinic: float = setting(
        help="messages a second of one clinic, in one process", default=50.0, check=_positive
    )
