"""Logs hold ids and words of ours only; what is not on the list is dropped, so nobody logs it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from services.chassis.logs import is_allowed

SERVICES = Path(__file__).parents[2] / "services"


def _keys_logged(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("log")), keywords=keywords):
                yield from (keyword.arg for keyword in keywords if keyword.arg is not None)


def test_no_call_of_a_log_names_a_key_that_would_be_dropped():
    keys = {(file.name, key) for file in SERVICES.rglob("*.py") for key in _keys_logged(file)}

    assert len(keys) > 20
    assert {(file, key) for file, key in keys if key != "exc_info" and not is_allowed(key)} == set()
