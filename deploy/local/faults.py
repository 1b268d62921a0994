"""How a test programs what a server of a development stack shall do wrong: JSON at /faults."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic, TypeVar

from deploy.local.web import Request, Response, error_response, json_response

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Fault = TypeVar("Fault", bound="DataclassInstance")


class MalformedFault(Exception):
    """The message says what a fault looks like."""


class Faults(ABC, Generic[Fault]):
    """The last fault set for somebody holds, until all are cleared."""

    def __init__(self) -> None:
        self._held: dict[str, Fault] = {}
        self._cleared = asyncio.Event()

    @abstractmethod
    def set(self, fault: Fault) -> None: ...

    def clear(self) -> None:
        """Who hangs is let go."""
        self._held.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    async def hang(self) -> None:
        await self._cleared.wait()

    def as_json(self) -> list[Mapping[str, object]]:
        return [asdict(fault) for fault in self._held.values()]


def program(
    faults: Faults[Fault], request: Request, *, parse: Callable[[object], Fault]
) -> Response:
    """POST sets a fault, DELETE clears all; the answer is those that hold. `parse` raises
    MalformedFault."""
    if request.method == "POST":
        try:
            faults.set(parse(json.loads(request.body)))
        except (MalformedFault, ValueError) as error:
            return error_response(HTTPStatus.BAD_REQUEST, str(error))
    elif request.method == "DELETE":
        faults.clear()
    return json_response(faults.as_json())
