"""`python -m services.notifications serve` or `migrate`."""

import sys

from services.chassis.command import run_command
from services.notifications.app import NAME, compose
from services.notifications.settings import PREFIX

if __name__ == "__main__":
    sys.exit(run_command(NAME, PREFIX, compose))
