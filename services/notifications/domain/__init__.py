"""The rules of telling: frozen values and pure functions."""
