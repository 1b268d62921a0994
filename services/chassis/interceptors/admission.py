"""More calls than a process can serve are turned away at once, before they cost anything."""

from services.chassis.errors import ResourceExhausted
from services.chassis.interceptors.call import Call, Method, Serve
from services.chassis.limits import CONCURRENT_STREAMS, CONCURRENT_UNARY_CALLS

_RETRY_AFTER = 0.25


class Admission:
    """Unary calls and streams are counted apart: a stream lives for minutes."""

    def __init__(
        self, *, unary: int = CONCURRENT_UNARY_CALLS, streams: int = CONCURRENT_STREAMS
    ) -> None:
        self._unary = _Places(unary)
        self._streams = _Places(streams)

    def around(self, method: Method, inner: Serve) -> Serve:
        places = self._unary if method.unary else self._streams

        async def serve(call: Call) -> bytes | None:
            if places.free <= 0:
                raise ResourceExhausted("too many calls at once", retry_after=_RETRY_AFTER)
            places.free -= 1
            try:
                return await inner(call)
            finally:
                places.free += 1

        return serve


class _Places:
    __slots__ = ("free",)

    def __init__(self, free: int) -> None:
        self.free = free
