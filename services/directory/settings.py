"""What this service needs to be told, by environment variables that begin with DIRECTORY_."""

from dataclasses import dataclass
from datetime import timedelta

from services.chassis.settings import ChassisSettings, setting

PREFIX = "DIRECTORY"


def _positive(time: timedelta) -> bool:
    return time > timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    chassis: ChassisSettings
    conversations_target: str = setting(help="host:port of the internal services of conversations")
    notifications_target: str = setting(help="host:port of the internal services of notifications")
    session_idle: timedelta = setting(
        help="a session without activity for this long ends by itself",
        default=timedelta(hours=12),
        check=_positive,
    )
    session_lifetime: timedelta = setting(
        help="a session ends this long after its sign-in, whatever happens in it",
        default=timedelta(days=30),
        check=_positive,
    )
