"""What this service needs to be told, by environment variables that begin with EXPORT_."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.chassis.settings import ChassisSettings, setting

PREFIX = "EXPORT"

# The five minutes in which a message may be deleted, and a margin (I26).
CUTOFF = timedelta(minutes=6)


def _not_negative(time: timedelta) -> bool:
    return time >= timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    chassis: ChassisSettings
    directory_target: str = setting(help="host:port of the directory's internal services")
    conversations_target: str = setting(help="host:port of the internal services of conversations")
    directory: Path = setting(
        help="folder that exports are written to and kept in; the same one for all copies"
    )
    cutoff: timedelta = setting(
        help="an export holds what is older than its request by this; at least 360, except where"
        " EXPORT_DEVELOPMENT is true",
        default=CUTOFF,
        check=_not_negative,
    )

    def __post_init__(self) -> None:
        if self.cutoff < CUTOFF and not self.chassis.development:
            raise ValueError(
                "CUTOFF is shorter than 360 seconds, so that an export could hold messages that"
                " are deleted later; only a development stack may have that"
            )
