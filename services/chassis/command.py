"""The two things that every service's program does: serve and migrate."""

import argparse
import os
import sys
from collections.abc import Awaitable, Callable

from services.chassis import lifecycle
from services.chassis.lifecycle import Service
from services.chassis.schema import DatabaseOutOfReach, migrate


def run_command(name: str, prefix: str, compose: Callable[[], Awaitable[Service]]) -> int:
    """`serve` runs until it is told to stop, `migrate` brings the schema up; the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{name}")
    parser.add_argument("command", choices=["serve", "migrate"])
    if parser.parse_args().command == "serve":
        return lifecycle.main(compose)
    variable = f"{prefix}_OWNER_DATABASE_URL"
    url = os.environ.get(variable, "")
    if not url:
        print(f"{variable} is missing: where the owner role finds the database", file=sys.stderr)
        return lifecycle.EXIT_SETTINGS
    try:
        migrate(name, url)
    except DatabaseOutOfReach as error:
        advice = f"start it, or correct {variable}, and migrate again"
        print(f"Not migrated: the database is out of reach ({error}); {advice}.", file=sys.stderr)
        return 1
    return 0
