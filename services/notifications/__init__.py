"""Notifications: who is told of a message, on which channel, and what became of it."""
