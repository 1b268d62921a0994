"""What callers may ask of this service: one intention a module."""
