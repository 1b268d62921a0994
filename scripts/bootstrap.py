"""Makes the virtual environment that everything else in this repository runs in.

Only the standard library is used, so that any Python 3.11 or later can run it. Running it again
changes nothing that is already right.
"""

import argparse
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
# The wheels of PostgreSQL, NATS and gRPC unpack to about 600 MB.
NEEDED_BYTES = 1_500_000_000
# Relative to site-packages, so that a checkout that was moved still finds itself.
PATHS = "../../../..\n../../../../gen\n"
COMMAND = """#!/bin/sh
exec "$(dirname -- "$0")/python" -m services.cli "$@"
"""


def say(sentence: str) -> None:
    print(f"bootstrap: {sentence}", flush=True)


def refuse(sentence: str) -> None:
    sys.exit(f"bootstrap: {sentence}")


def check_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        refuse(
            f"Python {sys.version_info.major}.{sys.version_info.minor} is too old; 3.11 or later "
            "is needed. Name another one with `make PYTHON=python3.12 …`."
        )
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            refuse(
                f"this Python has no `{module}` module. "
                "On Debian and Ubuntu it is in the package python3-venv."
            )


def check_disk() -> None:
    free = shutil.disk_usage(REPOSITORY).free
    if free < NEEDED_BYTES:
        refuse(f"{free // 1_000_000} MB of disk are free; {NEEDED_BYTES // 1_000_000} are needed.")


def make_environment(venv: Path) -> Path:
    python = venv / "bin" / "python"
    if python.exists() and runs(python):
        say(f"The virtual environment {venv.name} is there already.")
        return python
    say(f"Making the virtual environment {venv.name}.")
    run(sys.executable, "-m", "venv", "--clear", str(venv))
    return python


def runs(python: Path) -> bool:
    """An environment whose interpreter was removed or replaced has to be made anew."""
    return subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0


def install(python: Path, lock: Path) -> None:
    say(f"Installing what {lock.name} lists, each file checked against its hash.")
    options = ["--disable-pip-version-check", "--quiet", "--require-hashes"]
    run(str(python), "-m", "pip", "install", *options, "-r", str(lock))


def put_on_path(python: Path) -> None:
    """The repository and gen/ reach Python, mypy, pytest and import-linter through one .pth."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True)
    target = Path(answer.stdout.strip()) / "clinic-messaging.pth"
    if not target.exists() or target.read_text() != PATHS:
        say("Putting the repository and gen/ on the path of that environment.")
        target.write_text(PATHS)


def add_command(python: Path) -> None:
    """`clinic`, beside the Python that it runs on."""
    target = python.with_name("clinic")
    if not target.exists() or target.read_text() != COMMAND:
        say("Adding the command `clinic`.")
        target.write_text(COMMAND)
        target.chmod(0o755)


def run(*command: str) -> None:
    code = subprocess.run(command).returncode
    if code != 0:
        refuse(f"`{' '.join(command)}` failed with exit code {code}; its own words are above.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=REPOSITORY / ".venv")
    parser.add_argument("--lock", type=Path, default=REPOSITORY / "requirements.lock")
    arguments = parser.parse_args()
    check_python()
    check_disk()
    python = make_environment(arguments.venv)
    install(python, arguments.lock)
    put_on_path(python)
    add_command(python)
    say("Ready.")


if __name__ == "__main__":
    main()
