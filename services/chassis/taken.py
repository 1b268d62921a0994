"""What the fast road has brought without a gap, so that the slow one need not read it again."""

from services.chassis.outbox import Event

# Some minutes of a busy publisher; beyond that the sweep reads for itself.
_MOST = 100_000


class Taken:
    """Positions of one publisher whose events this process has handled, kept in memory only."""

    def __init__(self) -> None:
        self._incarnation = ""
        self._positions: set[int] = set()

    def note(self, event: Event) -> None:
        """The effect of this event is committed."""
        if event.incarnation != self._incarnation or len(self._positions) >= _MOST:
            self._incarnation = event.incarnation
            self._positions.clear()
        self._positions.add(event.position)

    def through(self, incarnation: str, position: int) -> int:
        """The last position up to which, from this one on, everything was handled here."""
        if incarnation != self._incarnation:
            return position
        while position + 1 in self._positions:
            position += 1
        self._positions = {each for each in self._positions if each > position}
        return position
