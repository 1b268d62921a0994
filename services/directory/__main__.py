"""`python -m services.directory serve` or `migrate`."""

import sys

from services.chassis.command import run_command
from services.directory.app import NAME, compose
from services.directory.settings import PREFIX

if __name__ == "__main__":
    sys.exit(run_command(NAME, PREFIX, compose))
