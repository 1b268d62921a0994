"""The suite: one package per service, what they stand on, and the command that people type."""
