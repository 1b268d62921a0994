"""How a test programs what a server of a development stack shall do wrong: JSON at /faults."""

import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol, TypeVar

from deploy.local.web import Request, Response, error_response, json_response

Fault = TypeVar("Fault")
Programmed = TypeVar("Programmed", contravariant=True)


class MalformedFault(Exception):
    """The message says what a fault looks like."""


class Faults(Protocol[Programmed]):
    def set(self, fault: Programmed, /) -> None: ...

    def clear(self) -> None: ...

    def as_json(self) -> Sequence[object]: ...


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
