"""The `clinic` command: a client of the public and internal RPCs, like any other."""
