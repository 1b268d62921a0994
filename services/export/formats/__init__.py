"""The files of an export: how they are written, signed and kept."""
