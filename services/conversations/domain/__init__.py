"""The rules of threads: frozen values and pure functions."""
