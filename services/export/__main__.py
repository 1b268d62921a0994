"""`python -m services.export serve` or `migrate`."""

import sys

from services.chassis.command import run_command
from services.export.app import NAME, compose
from services.export.settings import PREFIX

if __name__ == "__main__":
    sys.exit(run_command(NAME, PREFIX, compose))
