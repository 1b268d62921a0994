"""Metrics for Prometheus, and the W3C trace context that calls and events carry."""

import random
import re
from collections.abc import Sequence
from contextvars import ContextVar

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Labels are methods, codes and names of ours: never an id, so that their number stays bounded.
RPC_HANDLED = Counter(
    "clinic_rpc_handled_total", "Calls answered, by their code.", ("method", "code")
)
RPC_SECONDS = Histogram(
    "clinic_rpc_seconds", "Time from a call's arrival to its end.", ("method",), buckets=_SECONDS
)
RPC_IN_FLIGHT = Gauge("clinic_rpc_in_flight", "Calls under way.", ("method",))
PEER_CALLS = Counter(
    "clinic_peer_calls_total", "Calls to other services, by their code.", ("method", "code")
)
TASK_RESTARTS = Counter(
    "clinic_task_restarts_total", "Background tasks that failed and were started again.", ("task",)
)


def counter(name: str, help: str, labels: Sequence[str] = ()) -> Counter:
    """A counter of another module; made once, at import."""
    return Counter(f"clinic_{name}", help, labels)


def gauge(name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
    return Gauge(f"clinic_{name}", help, labels)


def histogram(
    name: str, help: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = _SECONDS
) -> Histogram:
    return Histogram(f"clinic_{name}", help, labels, buckets=buckets)


def exposition() -> bytes:
    """All metrics of the process, as /metrics shows them."""
    return generate_latest(REGISTRY)


_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_traceparent: ContextVar[str] = ContextVar("traceparent")


def parse_traceparent(text: str) -> tuple[str, str] | None:
    """Trace id and flags of a W3C traceparent, or None for anything else."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None or found[1] == "0" * 32 or found[2] == "0" * 16:
        return None
    return found[1], found[3]


def continue_trace(text: str | None) -> str:
    """Enter a span of the caller's trace, or of a new one; every further call and event of this
    task carries it."""
    parsed = parse_traceparent(text) if text else None
    trace_id, flags = parsed or (random_hex(128), "01")
    traceparent = f"00-{trace_id}-{random_hex(64)}-{flags}"
    _traceparent.set(traceparent)
    return traceparent


def random_hex(bits: int) -> str:
    """Random, not secret: a system call for each id costs more than the rest of a call's steps."""
    return f"{random.getrandbits(bits):0{bits // 4}x}"


def current_traceparent() -> str:
    """The span this task works in; a new trace where nothing has begun one."""
    return _traceparent.get("") or continue_trace(None)
