"""Run by `python -m services.conversations migrate`."""

from services.chassis.schema import run_migrations

run_migrations()
