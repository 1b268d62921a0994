"""`python -m services.conversations serve` or `migrate`."""

import sys

from services.chassis.command import run_command
from services.conversations.app import NAME, compose
from services.conversations.settings import PREFIX

if __name__ == "__main__":
    sys.exit(run_command(NAME, PREFIX, compose))
