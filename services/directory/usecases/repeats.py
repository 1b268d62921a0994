"""What a request asks for, in one canonical form, so that a repeat is told from a reuse."""

from dataclasses import Field, fields
from typing import ClassVar, Protocol

_NOT_CONTENT = frozenset({"caller", "request_id"})


class _Command(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[object]]]


def content_of(command: _Command) -> str:
    """Everything a command holds but who sent it, and under which id."""
    return "\n".join(
        f"{each.name}={getattr(command, each.name)!r}"
        for each in fields(command)
        if each.name not in _NOT_CONTENT
    )
