"""The demonstrations of `make demo`, each on a suite of its own that is thrown away afterwards."""
