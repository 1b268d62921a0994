"""Exports: a staff member's messages, written into files for the clinic's Account Owner."""
