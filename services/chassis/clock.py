"""Time is passed in: the process's clock for tokens and timers, never for a rule of the product.

Rules use the database's clock, of which there is one (I18).
"""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)
