"""Run by `python -m services.notifications migrate`."""

from services.chassis.schema import run_migrations

run_migrations()
