"""What facts, time and callers make this service do: one intention a module."""
