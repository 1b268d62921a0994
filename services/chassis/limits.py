"""How much is too much: the numbers of the whole suite, and a token bucket."""

from collections import OrderedDict
from datetime import datetime, timedelta

from services.chassis.clock import Clock

REQUEST_BYTES = 64 * 1024
RESPONSE_BYTES = 1024 * 1024
# Between services: batches of states, pages of events, imports.
INTERNAL_REQUEST_BYTES = 1024 * 1024
INTERNAL_RESPONSE_BYTES = 4 * 1024 * 1024
METADATA_BYTES = 8 * 1024

BODY_CODE_POINTS = 10_000
BODY_BYTES = 40_000

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MOST = 200

DEADLINE_DEFAULT = timedelta(seconds=3)
DEADLINE_MOST = timedelta(seconds=10)
PEER_TIMEOUT = timedelta(seconds=1)
PEER_MARGIN = timedelta(milliseconds=100)
PEER_TRIES = 2

CONCURRENT_UNARY_CALLS = 256
CONCURRENT_STREAMS = 2_000
WATCHES_PER_PROFILE = 5

KEEPALIVE_TIME = timedelta(seconds=30)
KEEPALIVE_TIMEOUT = timedelta(seconds=10)
CONNECTION_AGE = timedelta(minutes=15)
CONNECTION_AGE_GRACE = timedelta(seconds=60)

TOKEN_LIFETIME_MOST = timedelta(hours=24)
TOKEN_LEEWAY = timedelta(seconds=5)

DRAIN_WAIT = timedelta(seconds=2)
STOP_GRACE = timedelta(seconds=10)


class TokenBucket:
    """A bucket a key: `burst` at once, then `rate` a second.

    Memory is bounded by `keys`. The buckets longest unused are forgotten first; by then they are
    full again unless more than `keys` callers are active, and a full bucket equals a new one.
    """

    def __init__(self, *, rate: float, burst: float, clock: Clock, keys: int = 10_000) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a token bucket needs a rate above 0 and a burst of at least 1")
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._keys = keys
        self._levels: OrderedDict[str, tuple[float, datetime]] = OrderedDict()

    def take(self, key: str, amount: float = 1.0) -> float:
        """0.0 when granted; otherwise nothing is taken and the answer is the seconds to wait."""
        now = self._clock()
        level = self._level(key, now)
        granted = self._seconds_to(amount, level) == 0.0
        self._levels[key] = (level - amount if granted else level, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self._keys:
            self._levels.popitem(last=False)
        return self._seconds_to(amount, level)

    def wait(self, key: str, amount: float = 1.0) -> float:
        """What `take` would answer; nothing is taken."""
        return self._seconds_to(amount, self._level(key, self._clock()))

    def _seconds_to(self, amount: float, level: float) -> float:
        return max(amount - level, 0.0) / self._rate

    def _level(self, key: str, now: datetime) -> float:
        level, seen = self._levels.get(key, (self._burst, now))
        elapsed = max((now - seen).total_seconds(), 0.0)  # a clock may be set back
        return min(level + elapsed * self._rate, self._burst)
