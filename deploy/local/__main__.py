"""`python -m deploy.local up | stop | reset | env <service>`"""

import argparse
import asyncio
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path

from deploy.local import postgres
from deploy.local.blueprint import Blueprint
from deploy.local.ports import SERVICES, PortTaken, chosen
from deploy.local.postgres import CannotRunPostgres
from deploy.local.state import AlreadyRunning, State
from deploy.local.supervisor import PartFailed
from deploy.local.up import up

REPOSITORY = Path(__file__).resolve().parents[2]


def stop(state: State) -> None:
    """End the suite that another terminal runs, and wait until it has ended."""
    pid = state.holder()
    if pid is None:
        print("The suite of this checkout is not running.")
        return
    os.kill(pid, signal.SIGTERM)
    state.wait_until_free()
    print("Stopped.")


def reset(state: State) -> None:
    """Delete all that the suite of this checkout has stored."""
    stop(state)
    if state.directory.exists():
        postgres.remove(state.directory)
        shutil.rmtree(state.directory)
    print(f"Deleted {state.directory}.")


def show_environment(state: State, service: str) -> None:
    """The settings of a service, for a shell: `eval "$(python -m deploy.local env export)"`."""
    if not state.directory.exists():
        sys.exit("Nothing has been started here yet; `make run` does.")
    plan = Blueprint(state, chosen(os.environ), SERVICES, os.environ)
    for name, value in plan.settings(service).items():
        print(f"export {name}={shlex.quote(value)}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.local")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the whole suite and stay with it")
    commands.add_parser("stop", help="end it from another terminal")
    commands.add_parser("reset", help="end it and delete its data")
    shown = commands.add_parser("env", help="print the settings of a service; they hold passwords")
    shown.add_argument("service", choices=SERVICES)
    arguments = parser.parse_args()
    directory = Path(os.environ.get("LOCAL_STATE", REPOSITORY / ".local"))
    match arguments.command:
        case "up":
            asyncio.run(up(directory))
        case "stop":
            stop(State(directory))
        case "reset":
            reset(State(directory))
        case "env":
            show_environment(State(directory), arguments.service)


if __name__ == "__main__":
    try:
        main()
    except (AlreadyRunning, CannotRunPostgres, PartFailed, PortTaken) as refusal:
        sys.exit(str(refusal))
    except PermissionError as error:
        sys.exit(f"{error.filename} belongs to another user of this machine.")
