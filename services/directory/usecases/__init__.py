"""What callers may ask of the directory: one intention a module."""
