"""Every unary call ends in time; whoever works for it can ask how much is left."""

import asyncio
from contextvars import ContextVar
from datetime import timedelta

from services.chassis.errors import DeadlineExceeded
from services.chassis.interceptors.call import Call, Method, Serve
from services.chassis.limits import DEADLINE_DEFAULT, DEADLINE_MOST

_ends_at: ContextVar[float] = ContextVar("ends_at")
_began_at: ContextVar[float] = ContextVar("began_at")


def remaining() -> float | None:
    """Seconds left to the call being served; None outside of one, or in a stream without end."""
    ends_at = _ends_at.get(None)
    return None if ends_at is None else ends_at - asyncio.get_running_loop().time()


def elapsed() -> float:
    """Seconds since the call being served arrived; none outside of one."""
    now = asyncio.get_running_loop().time()
    return now - _began_at.get(now)


class Deadline:
    """Bounds unary calls: the client's deadline, at most `most`; `default` where it set none.

    A stream ends when its client, its token or its servicer ends it.
    """

    def __init__(
        self, *, default: timedelta = DEADLINE_DEFAULT, most: timedelta = DEADLINE_MOST
    ) -> None:
        self._default = default.total_seconds()
        self._most = most.total_seconds()

    def around(self, method: Method, inner: Serve) -> Serve:
        return self._bounded(inner) if method.unary else _told(inner)

    def _bounded(self, inner: Serve) -> Serve:
        default, most = self._default, self._most

        async def serve(call: Call) -> bytes | None:
            given = _given(call)
            seconds = default if given is None else min(given, most)
            began_at = asyncio.get_running_loop().time()
            ends_at = began_at + seconds
            _began_at.set(began_at)
            _ends_at.set(ends_at)
            timer = asyncio.timeout_at(ends_at)
            try:
                async with timer:
                    return await inner(call)
            except TimeoutError:
                if timer.expired():
                    raise DeadlineExceeded("out of time") from None
                raise

        return serve


def _told(inner: Serve) -> Serve:
    async def serve(call: Call) -> bytes | None:
        given = _given(call)
        if given is not None:
            _ends_at.set(asyncio.get_running_loop().time() + given)
        return await inner(call)

    return serve


def _given(call: Call) -> float | None:
    """The client's own deadline. Raises DeadlineExceeded where it has passed already."""
    given: float | None = call.context.time_remaining()
    if given is not None and given <= 0:
        raise DeadlineExceeded("out of time")
    return given
