"""Run by `python -m services.export migrate`."""

from services.chassis.schema import run_migrations

run_migrations()
