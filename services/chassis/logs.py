"""Logs without values: static event names, an allow-list of keys, ids and numbers only (R34).

What a person wrote or is called must not reach a log, whoever calls: a key outside the list is
dropped and only its name is kept, a text that is no id or word is hidden, an exception is told by
its class and frames, and what libraries log is told by the logger's name and the line it was
logged at, because their texts quote values.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import NoneType, TracebackType
from typing import TextIO, cast
from uuid import UUID

import grpc
import psycopg
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from services.chassis.errors import DomainError

_KEYS = """
    actor attempt attempts batch bytes cause channel check code committed constraint consumer
    consumers count delay development durable error event events exit_code expected format
    http_listen incarnation internal_listen job keys kind lag lane last limit line listen logger
    members method migration missing peer pending position positions provider queue reason refusal
    replicas role rows seconds sequence sequences service signal size source sqlstate stage state
    status stream streams table task tasks traceparent tries type types version watches
"""
ALLOWED = frozenset(_KEYS.split())
_ALLOWED_ENDINGS = ("_id", "_count", "_ms", "_seconds", "_bytes", "_version", "_position")
_ALLOWED_TEXT = re.compile(r"[\w.:/<>*+,\-]{0,200}", re.ASCII)
_EVENT = re.compile(r"[a-z][a-z0-9_]{0,60}")
_HIDDEN = "<hidden>"
_MOST_ITEMS = 50
_MOST_FRAMES = 20
_MOST_LINKS = 8

_FIRST = ("timestamp", "level", "service", "event")
_NUMBERS = frozenset({int, float, bool, NoneType})
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_ENCODER = json.JSONEncoder(separators=(",", ":"))

_bound: ContextVar[Mapping[str, object]] = ContextVar("log_context")
_NOTHING: Mapping[str, object] = {}


@dataclass(slots=True)
class _Output:
    """Where and how the process's records are written; safe from the first line on.

    Without a stream, to the standard error: the standard output is what a program answers with.
    """

    service: str = "process"
    threshold: int = logging.INFO
    render: Callable[[EventDict], str] = _ENCODER.encode
    stream: TextIO | None = None

    def line(self, text: str) -> None:
        """Write a line. A reader that has gone must not fail the work that is logged."""
        stream = self.stream or sys.stderr
        try:
            stream.write(text + "\n")
            stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = line


_output = _Output()


def configure(service: str, level: str, format: str, *, stream: TextIO | None = None) -> None:
    """Say who logs, from which level on and in which form, and take in what libraries log."""
    _output.service = service
    _output.threshold = logging.getLevelNamesMapping()[level.upper()]
    _output.render = _ENCODER.encode if format == "json" else _as_columns
    _output.stream = stream
    root = logging.getLogger()
    root.handlers[:] = [_Libraries()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_crash


def get_logger() -> FilteringBoundLogger:
    """`get_logger().info("message_sent", conversation_id=...)`: a static event, then ids."""
    return _LOGGER


def bind(**values: object) -> None:
    """Add to every further log line of this task and of those that it starts."""
    _bound.set({**_bound.get(_NOTHING), **values})


def _record(_logger: WrappedLogger, level: str, given: EventDict) -> EventDict:
    """The record of one event: bound context, time, level and only what may be told."""
    if _LEVELS.get(level, logging.ERROR) < _output.threshold:
        raise structlog.DropEvent
    event = str(given.pop("event", ""))
    exception = _exception_of(given.pop("exc_info", None))
    record: EventDict = {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "service": _output.service,
        "event": event if _EVENT.fullmatch(event) else _HIDDEN,
    }
    dropped = []
    for key, value in (*_bound.get(_NOTHING).items(), *given.items()):
        if is_allowed(key):
            record[key] = cleaned(value)
        else:
            dropped.append(key)
    if exception is not None:
        record["exception"] = rendered(exception)
    if dropped:
        record["dropped_keys"] = dropped
    return record


def is_allowed(key: str) -> bool:
    """Whether a record keeps what it is given under this key."""
    return key in ALLOWED or key.endswith(_ALLOWED_ENDINGS)


def _rendered(_logger: WrappedLogger, _level: str, record: EventDict) -> str:
    return _output.render(record)


def _as_columns(record: EventDict) -> str:
    """For a person at a terminal."""
    time, level, service, event = (str(record.pop(key)) for key in _FIRST)
    exception = record.pop("exception", None)
    rest = " ".join(f"{key}={value}" for key, value in record.items() if value not in (None, ""))
    line = f"{time[11:23]} {level:<8} {service:<13} {event:<24} {rest}".rstrip()
    return line if exception is None else f"{line}\n  {_ENCODER.encode(exception)}"


def cleaned(value: object) -> object:
    """A number, an id or a word as it is; anything that could be a text of a person, hidden."""
    kind = type(value)
    if kind is str:
        return value if _ALLOWED_TEXT.fullmatch(cast(str, value)) else _HIDDEN
    if kind in _NUMBERS:
        return value
    match value:
        case Enum():
            return cleaned(value.value)
        case str():
            return cleaned(str(value))
        case UUID():
            return str(value)
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case BaseException():
            return class_of(value)
        case list() | tuple() | set() | frozenset():
            return [cleaned(item) for item in list(value)[:_MOST_ITEMS]]
    return _HIDDEN


def rendered(exception: BaseException) -> list[dict[str, object]]:
    """Class, code and frames of an exception and of those behind it; no message, no value."""
    return [
        {"error": class_of(each), **_facts_of(each), "frames": _frames_of(each.__traceback__)}
        for each in _chain(exception)
    ]


def class_of(exception: BaseException) -> str:
    kind = type(exception)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _chain(exception: BaseException) -> Iterator[BaseException]:
    waiting, seen = [exception], set[int]()
    while waiting and len(seen) < _MOST_LINKS:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        behind = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(each.exceptions)
        if behind is not None:
            waiting.append(behind)


def _facts_of(exception: BaseException) -> dict[str, object]:
    match exception:
        case psycopg.Error():
            constraint = exception.diag.constraint_name
            return {"sqlstate": exception.sqlstate, "constraint": cleaned(constraint)}
        case DomainError():
            return {"reason": exception.reason}
        case grpc.aio.AioRpcError():
            return {"code": exception.code().name}
        case OSError():
            return {"code": exception.errno}
    return {}


def _frames_of(traceback: TracebackType | None) -> list[str]:
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{_short(code.co_filename)}:{traceback.tb_lineno}:{code.co_qualname}")
        traceback = traceback.tb_next
    return frames[-_MOST_FRAMES:]


def _short(path: str) -> str:
    """The file without the machine's own directories."""
    for root in ("site-packages/", "/gen/", "/services/", "/tests/"):
        _, found, rest = path.rpartition(root)
        if found:
            return rest if root == "site-packages/" else found.strip("/") + "/" + rest
    return "/".join(path.split("/")[-2:])


def _exception_of(given: object) -> BaseException | None:
    match given:
        case BaseException():
            return given
        case (_, BaseException() as exception, _):
            return exception
        case None | False:
            return None
    return sys.exception()


class _Libraries(logging.Handler):
    """What grpc, nats, asyncio and the others log, without their words."""

    def emit(self, record: logging.LogRecord) -> None:
        _LOGGER.log(
            record.levelno,
            "library_log",
            logger=record.name,
            source=f"{_short(record.pathname)}:{record.lineno}",
            exc_info=record.exc_info,
        )


def _log_crash(
    kind: type[BaseException], exception: BaseException, traceback: TracebackType | None
) -> None:
    _LOGGER.critical("process_crashed", exc_info=exception.with_traceback(traceback))


_LOGGER: FilteringBoundLogger = structlog.wrap_logger(
    _output,
    processors=[_record, _rendered],
    wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
).bind()
