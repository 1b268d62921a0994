"""Run by `python -m services.directory migrate`."""

from services.chassis.schema import run_migrations

run_migrations()
